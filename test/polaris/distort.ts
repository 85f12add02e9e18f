import type { ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { answerOf, plain } from "./answers.ts";
import { PANIC } from "./discover.ts";
import type { FaultEffect, MetFault, SeenRequest } from "./faults.ts";
import { discoverForm, type Json, responseForm, wireText } from "./forms.ts";
import { hex, type Random } from "./registry.ts";
import { type Answer, send } from "./serve.ts";

/** A random UUID. */
export function uuid(random: Random): string {
  return [8, 4, 4, 4, 12].map((digits) => hex(random, digits)).join("-");
}

/** Let the time pass that faults take before an answer. Rejects when the server stops. */
export async function holdUp(faults: readonly MetFault[], stopped: AbortSignal): Promise<void> {
  for (const { effect, undone } of faults) {
    if (effect.kind === "delay") await sleep(effect.ms, undefined, { signal: stopped });
    if (effect.kind !== "hang") continue;
    const either = AbortSignal.any([undone, stopped]);
    if (!either.aborted) await new Promise((resolve) => either.addEventListener("abort", resolve, { once: true }));
  }
}

function edited(body: string, change: (body: Json) => unknown): string {
  return wireText(change(JSON.parse(body) as Json));
}

function emptied(body: Json, random: Random): Json {
  const service = { ...(body["service"] as Json | null), revision: uuid(random) };
  return { ...body, service, services: [], instances: [] };
}

/** The answer as one fault leaves it. */
export function distorted(
  answer: Answer | typeof PANIC,
  effect: FaultEffect,
  request: SeenRequest,
  random: Random,
): Answer | typeof PANIC {
  const type = String((request.body as Json | null)?.["type"]);
  const form = request.path.startsWith("/v1/Discover") ? (code: number) => discoverForm(code, type) : responseForm;
  switch (effect.kind) {
    case "close":
    case "hang":
      return PANIC;
    case "code":
      return answerOf(form(effect.code));
    case "status":
      return plain(effect.status, effect.body ?? `${effect.status}`, effect.headers);
    case "text":
      return plain(200, effect.body ?? "<html><body>It works!</body></html>");
  }
  if (answer === PANIC || !answer.body.startsWith("{")) return answer;
  switch (effect.kind) {
    case "huge":
      return { ...answer, body: answer.body.replace(/\}$/, `,${" ".repeat(effect.bytes)}"padded": true}`) };
    case "edit":
      return { ...answer, body: edited(answer.body, effect.edit) };
    case "empty":
      return { ...answer, body: edited(answer.body, (body) => emptied(body, random)) };
    default:
      return answer;
  }
}

/** Send an answer at the speed, and as far, as faults let it go. */
export async function deliver(
  response: ServerResponse,
  answer: Answer,
  faults: readonly MetFault[],
  stopped: AbortSignal,
): Promise<void> {
  const effects = faults.map(({ effect }) => effect);
  const truncate = effects.find((effect) => effect.kind === "truncate");
  const throttle = effects.find((effect) => effect.kind === "throttle");
  const bytes = Buffer.from(answer.body);
  if (truncate !== undefined) {
    const length = truncate.chunked === true ? {} : { "Content-Length": bytes.length };
    response.writeHead(answer.status, { ...answer.headers, ...length });
    response.write(bytes.subarray(0, bytes.length / 2), () => response.destroy());
    return;
  }
  if (throttle === undefined) return send(response, answer);
  const step = Math.max(1, Math.ceil(throttle.bytesPerSecond / 10));
  response.writeHead(answer.status, { ...answer.headers, "Content-Length": bytes.length });
  for (let at = 0; at < bytes.length && !response.destroyed; at += step) {
    response.write(bytes.subarray(at, at + step));
    await sleep(100, undefined, { signal: stopped });
  }
  response.end();
}
