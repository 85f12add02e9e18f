import { fetchUsage } from "../usage/fetch.ts";
import { mergeUsage, usageReport } from "../usage/report.ts";
import type { CliContext, ExitCode } from "./context.ts";
import { reportCsv, reportLines } from "./print/usage.ts";
import { type ReplicaOptions, replicasOf } from "./setup/replicas.ts";

export interface ReportOptions extends ReplicaOptions {
  /** Milliseconds after which a service that nobody asked for is listed. */
  readonly idle: number;
  readonly output: "text" | "json" | "csv";
}

/** Show who still calls services by their legacy names, what is not yet moved, and what nobody asks for. 0: shown, 1: not. */
export async function reportCommand(context: CliContext, options: ReportOptions): Promise<ExitCode> {
  const { idle, output } = options;
  const replicas = await replicasOf(context, options);
  const all = await Promise.all(replicas.map((replica) => fetchUsage(replica, context.signal)));
  const nowMs = Date.now();
  const report = usageReport(mergeUsage(all), { idleMs: idle, nowMs });
  const { line, style } = context.out;
  if (output === "json") line(JSON.stringify(report, null, 2));
  else for (const text of output === "csv" ? reportCsv(report) : reportLines(report, nowMs, style)) line(text);
  return 0;
}
