"""The same agent on other durable runtimes: Temporal, DBOS, LangGraph and Prefect."""
