import { hash } from "node:crypto";
import { extname } from "node:path";
import { Worker } from "node:worker_threads";
import { type Gate, gate } from "../src/async/gate.ts";
import { ReadError, type ReadFailure } from "../src/errors.ts";
import type { AnswerLimits } from "./answer-body.ts";

/** Makes of the body of an answer what is used of it. */
export interface Parser<Result> {
  /** `import.meta.url` of the module that exports `parse` under `name`, so that a thread can load it. */
  readonly module: string;
  readonly name: string;
  /** Pure. @throws {ReadError} When the body is no such answer. */
  readonly parse: (body: Uint8Array) => Result;
  /** What the body may be. */
  readonly limits: AnswerLimits;
}

/** What a thread says of a body. */
export type Parsed<Result> =
  | { readonly state: "ok"; readonly result: Result; readonly digest: string }
  | { readonly state: "failed"; readonly failure: ReadFailure; readonly message: string };

/** What a thread is given. */
export type ToParse = Pick<Parser<unknown>, "module" | "name"> & { readonly body: Uint8Array };

/** Past these a body would hold up the thread that answers DNS and renews the Lease for a tenth of a second and more. */
const LIGHT = { bytes: 8 * 1024 * 1024, values: 250_000 };
/** Of the thread's heap; the default container has 1 GiB. */
const MEMORY = { maxOldGenerationSizeMb: 384, maxYoungGenerationSizeMb: 32 };

/** Whether a body of this size is to be parsed by {@link parseApart}. */
export function isHeavy(body: Uint8Array, values: number): boolean {
  return body.length > LIGHT.bytes || values > LIGHT.values;
}

/** Differs when a body does. */
export function digestOf(body: Uint8Array): string {
  return hash("sha1", body, "base64");
}

/** Lets one heavy body be parsed at a time in the whole process; to be had by `metrics.once(parseTurn)`. */
export function parseTurn(): Gate {
  return gate(1);
}

/**
 * Parse a body in a thread of its own, whose memory is limited, and make its digest. The body's buffer is the thread's afterwards.
 *
 * @throws {ReadError} When the body is no such answer, or needs more memory than it may have.
 * @throws The signal's reason when `signal` aborts.
 */
export async function parseApart<Result>(
  { module, name }: Parser<Result>,
  body: Uint8Array<ArrayBuffer>,
  signal: AbortSignal,
): Promise<{ readonly result: Result; readonly digest: string }> {
  signal.throwIfAborted();
  // What is part of a larger buffer is not ours to give away.
  const own = body.byteOffset === 0 && body.buffer.byteLength < 2 * body.length ? body : new Uint8Array(body);
  const given: ToParse = { module, name, body: own };
  const worker = new Worker(new URL(`./parse-worker${extname(import.meta.filename)}`, import.meta.url), {
    workerData: given,
    transferList: [own.buffer],
    resourceLimits: MEMORY,
  });
  const { promise, resolve, reject } = Promise.withResolvers<Parsed<Result>>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  worker.once("message", resolve).once("error", reject);
  worker.once("exit", () => reject(new ReadError("answer", "could not be parsed")));
  try {
    const parsed = await promise;
    if (parsed.state === "ok") return parsed;
    throw new ReadError(parsed.failure, parsed.message);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ERR_WORKER_OUT_OF_MEMORY") throw cause;
    throw new ReadError("answer", "needs more memory to be parsed than it may have");
  } finally {
    signal.removeEventListener("abort", onAbort);
    await worker.terminate();
  }
}
