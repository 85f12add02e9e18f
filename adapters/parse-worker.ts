import { parentPort, workerData } from "node:worker_threads";
import { describeError, ReadError } from "../src/errors.ts";
import { digestOf, type Parsed, type ToParse } from "./parse.ts";

/** Runs in a thread that {@link parseApart} starts: parses one body, says what came of it, and ends. */
const { module, name, body } = workerData as ToParse;
parentPort?.postMessage(await parsed());

async function parsed(): Promise<Parsed<unknown>> {
  try {
    const { [name]: parse } = (await import(module)) as Readonly<Record<string, (body: Uint8Array) => unknown>>;
    return { state: "ok", result: parse?.(body), digest: digestOf(body) };
  } catch (error) {
    const failure = error instanceof ReadError ? error.failure : "answer";
    return { state: "failed", failure, message: describeError(error) };
  }
}
