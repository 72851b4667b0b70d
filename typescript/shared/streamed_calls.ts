// Model calls of the AI SDK that stream: each is one durable step, and its text is reported piece by piece.

import { type Context, TerminalError } from "@restatedev/restate-sdk";
import type { LanguageModelMiddleware } from "ai";
import { BadAnswer, writable } from "./answers.ts";
import * as llm from "./llm.ts";
import { oneLine } from "./model_calls.ts";
import { modelCall, type Said } from "./streaming.ts";

type WrapGenerate = NonNullable<LanguageModelMiddleware["wrapGenerate"]>;
type Result = Awaited<ReturnType<WrapGenerate>>;
type Part<Type> = Extract<Result["content"][number], { type: Type }>;
type Stream = Awaited<ReturnType<Parameters<WrapGenerate>[0]["doStream"]>>["stream"];

/** `durableCalls` for `streamText`, behind `simulateStreamingMiddleware`, which streams the journaled answer. */
export const streamedCalls = (ctx: Context): LanguageModelMiddleware => ({
  specificationVersion: "v4",
  async wrapGenerate({ model, doStream }) {
    const call = modelCall(ctx);
    const answer = async () => writable(await whole((await doStream()).stream, call?.attempt()));
    const result: Result = await ctx.run(`calling ${model.provider}`, answer, llm.DURABLE_CALLS);
    const text = result.content.map((part) => (part.type === "text" ? part.text : "")).join("");
    const calls = result.content.filter((part) => part.type === "tool-call");
    call?.inJournal(
      text,
      calls.map(({ toolCallId, toolName, input }) => ({ id: toolCallId, name: toolName, arguments: input })),
    );
    return result;
  },
});

/** Lets `generateText` stream inside a durable step; `said` gets the text piece by piece. */
export const overAStream = (said: Said): LanguageModelMiddleware => ({
  specificationVersion: "v4",
  wrapGenerate: async ({ doStream }) => whole((await doStream()).stream, said),
});

/** The finish reasons of a stream that has broken off: the journal gets no partial answer. */
const BROKEN_OFF = ["interrupted", "error"];

/** The finish reasons of an incomplete answer. */
const CUT_OFF = ["length", "content-filter"];

/** A stream's answer, in the form of a call without a stream. Throws: BadAnswer if the stream breaks off. */
export async function whole(stream: Stream, said: Said = () => {}): Promise<Result> {
  const content: Result["content"] = [];
  const texts = new Map<string, Part<"text" | "reasoning">>();
  const textOf = (type: "text" | "reasoning", id: string) => {
    const known = texts.get(`${type} ${id}`);
    if (known) return known;
    const text: Part<typeof type> = { type, text: "" };
    texts.set(`${type} ${id}`, text);
    content.push(text);
    return text;
  };
  let end: Pick<Result, "finishReason" | "usage" | "providerMetadata"> | undefined;
  let warnings: Result["warnings"] = [];
  let response: Result["response"];
  for await (const part of stream) {
    switch (part.type) {
      case "text-start":
      case "reasoning-start":
      case "text-delta":
      case "reasoning-delta":
      case "text-end":
      case "reasoning-end": {
        const text = textOf(part.type.startsWith("text") ? "text" : "reasoning", part.id);
        if (part.providerMetadata) text.providerMetadata = part.providerMetadata;
        if ("citations" in part) Object.assign(text, { citations: part.citations });
        if ("delta" in part) text.text += part.delta;
        if (part.type === "text-delta") said(part.delta);
        break;
      }
      case "stream-start":
        warnings = part.warnings;
        break;
      case "response-metadata":
        response = (({ type: _, ...metadata }) => metadata)(part);
        break;
      case "finish":
        end = (({ type: _, ...end }) => end)(part);
        break;
      case "error": {
        const why = part.error instanceof Error ? part.error.message : JSON.stringify(part.error);
        throw new BadAnswer(oneLine(`the model's answer breaks off with an error: ${why}`));
      }
      case "tool-input-start": // the tool call follows, with its whole input
      case "tool-input-delta":
      case "tool-input-end":
      case "ping":
      case "raw":
        break;
      default:
        content.push(part);
    }
  }
  if (!end || BROKEN_OFF.includes(end.finishReason.unified)) throw new BadAnswer("the model's answer breaks off");
  const { unified, raw } = end.finishReason;
  if (CUT_OFF.includes(unified) && !content.some((part) => part.type === "tool-call")) {
    throw new TerminalError(oneLine(`the model's answer is cut off: ${raw ?? unified}`));
  }
  for (const part of content) {
    if ("text" in part) part.text = part.text.toWellFormed(); // half an emoji is not text
  }
  return { content, ...end, warnings, ...(response && { response }) };
}
