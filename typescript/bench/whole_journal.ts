// The agent on Vercel AI with Restate's middleware alone: the journal gets the whole request, response and headers of
// each model call. The comparison (`uv run tour compare --findings`) measures how much that is.
//
// node typescript/bench/whole_journal.ts

import * as llm from "../shared/llm.ts";

delete (llm.DURABLE_CALLS as { serde?: unknown }).serde;
llm.forTheJournal.wrapGenerate = ({ doGenerate }) => doGenerate();

await import("../vercel_ai/parallel_tools_agent.ts");
