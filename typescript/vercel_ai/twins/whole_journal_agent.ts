// Vercel AI SDK: the agent with Restate's middleware only. It journals the whole request, response and headers of each
// model call, which `uv run python -m bench.findings` measures.
//
// node typescript/vercel_ai/twins/whole_journal_agent.ts

import * as llm from "../../shared/llm.ts";

delete (llm.DURABLE_CALLS as { serde?: unknown }).serde;
llm.forTheJournal.wrapGenerate = ({ doGenerate }) => doGenerate();

await import("../parallel_tools_agent.ts");
