import { type Config, loadConfig } from "../config.ts";
import type { CliContext, ExitCode } from "./context.ts";
import type { UsageJson } from "./usage-json.ts";
import { mergeUsage, reportCsv, reportLines, usageReport } from "./usage-report.ts";

export interface ReportOptions {
  /** HTTP addresses of all replicas; without any, the one that the configuration names. */
  readonly from: readonly string[];
  /** Milliseconds after which a service that nobody asked for is listed. */
  readonly idle: number;
  readonly output: "text" | "json" | "csv";
}

/** Show who still calls services by their legacy names, what is not yet moved, and what nobody asks for. 0: shown, 1: not. */
export async function reportCommand(context: CliContext, { from, idle, output }: ReportOptions): Promise<ExitCode> {
  const addresses = from.length > 0 ? from : [ownAddress(await loadConfig(context.configFile, context.configContext))];
  const all = await Promise.all(addresses.map((address) => fetchUsage(address, context.signal)));
  const nowMs = Date.now();
  const report = usageReport(mergeUsage(all), { idleMs: idle, nowMs });
  const { line, style } = context.out;
  if (output === "json") line(JSON.stringify(report, null, 2));
  else for (const text of output === "csv" ? reportCsv(report) : reportLines(report, nowMs, style)) line(text);
  return 0;
}

/** Where an x2istio of this configuration answers HTTP. */
export function ownAddress({ http: { listen } }: Config): string {
  const any: Readonly<Record<string, string>> = { "0.0.0.0": "127.0.0.1", "::": "::1" };
  const address = any[listen.address] ?? listen.address;
  return `http://${address.includes(":") ? `[${address}]` : address}:${listen.port}`;
}

const PATIENCE_MS = 10_000;

/** @throws When nobody answers there. */
export async function fetchUsage(address: string, signal: AbortSignal): Promise<UsageJson> {
  const url = `${address.replace(/\/+$/, "")}/api/usage`;
  try {
    const answer = await fetch(url, { signal: AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]) });
    if (answer.status !== 200) throw new Error(`GET /api/usage answered ${answer.status}`);
    return readUsage(await answer.json());
  } catch (cause) {
    signal.throwIfAborted();
    throw new Error(`Cannot read the usage from ${address}: is x2istio run at work there? Name it by --from`, {
      cause,
    });
  }
}

function readUsage(value: unknown): UsageJson {
  const { knownSince, services } = value as Partial<UsageJson>;
  if (typeof knownSince !== "string" || !Array.isArray(services)) throw new Error("the answer is none of x2istio's");
  return { knownSince, services };
}
