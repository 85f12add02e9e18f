import { get } from "node:http";
import { connect } from "node:net";
import type { CheckForm } from "./schema.ts";

/** What is probed, and how. */
export interface Target {
  /** Equal for equal targets of one service. */
  readonly id: string;
  /** `vms/shop/orders` */
  readonly service: string;
  readonly host: string;
  readonly port: number;
  readonly check: CheckForm;
}

/** Probe once. Resolves with `undefined` when the target answers as it should, else with why not; also when `signal` aborts. */
export async function probe({ host, port, check }: Target, signal: AbortSignal): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const open = check.http === undefined ? openTcp(host, port, resolve) : openHttp(host, port, check.http, resolve);
  const timer = setTimeout(() => resolve(`no answer within ${check.timeout} ms`), check.timeout);
  const onAbort = () => resolve("aborted");
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
    open.destroy();
  }
}

type Verdict = (failure: string | undefined) => void;

function openTcp(host: string, port: number, verdict: Verdict) {
  return connect({ host, port })
    .on("connect", () => verdict(undefined))
    .on("error", (error) => verdict(error.message));
}

function openHttp(host: string, port: number, { path, status }: NonNullable<CheckForm["http"]>, verdict: Verdict) {
  const headers = { "user-agent": "x2istio", connection: "close" };
  return get({ host, port, path, headers, agent: false }, ({ statusCode = 0 }) => {
    verdict(status.includes(statusCode) ? undefined : `GET ${path} answered ${statusCode}`);
  }).on("error", (error) => verdict(error.message));
}
