// No agent SDK: an agent whose tools are programs.

import { RestatePromise } from "@restatedev/restate-sdk";
import { perform, serveAgent, Tag, Work } from "../../tests/programs.ts";
import { defineTool, runAgent } from "../agent_loop.ts";

const work = defineTool<undefined, typeof Work>({
  description: "Run a program.",
  input: Work,
  run: (ctx, work) => ({ inTurn: (wait) => perform(work, ctx, wait) }),
});

const delegate = defineTool<undefined, typeof Tag>({
  description: "Let another agent do it.",
  input: Tag,
  run: (ctx, { tag }) => ({ inTurn: (wait) => runAgent(ctx, "", `inner ${tag}`, { work }, undefined, { wait }) }),
});

const refuse = defineTool<undefined, typeof Tag>({
  description: "Answers an error to the model.",
  input: Tag,
  run: (_, { tag }) => RestatePromise.resolve(`refused ${tag}`),
});

serveAgent((ctx, { prompt }) => runAgent(ctx, "", prompt, { work, delegate, refuse }, undefined));
