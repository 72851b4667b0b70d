"""The same agent on other durable runtimes: DBOS, LangGraph and Prefect."""
