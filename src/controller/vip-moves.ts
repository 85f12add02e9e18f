import type { Log } from "../log.ts";
import type { ServiceEntry } from "../model/objects.ts";
import type { Update } from "../model/plan.ts";
import type { Notice, WriteReport } from "../model/target.ts";
import type { ControllerMetrics } from "./metrics.ts";

/** A VIP that callers may still have and that leads nowhere now. */
interface VipMove {
  readonly entry: Update;
  readonly host: string;
  readonly from: readonly string[];
  readonly to: readonly string[];
}

/** Lines for one pass: after a change of families every service has one. */
const MOST_LINES = 20;

function vipMoves({ results }: WriteReport): readonly VipMove[] {
  return results.flatMap(({ change, outcome }) => {
    if (change.kind !== "update" || outcome !== "written") return [];
    const [now, before] = [change.object.manifest, change.standing.manifest];
    if (now.kind !== "ServiceEntry" || before.kind !== "ServiceEntry") return [];
    const [to, from] = [addressesOf(now), addressesOf(before)];
    if (from.every((address) => to.includes(address))) return [];
    return [{ entry: change, host: now.spec.hosts[0] ?? change.object.key, from, to }];
  });
}

function addressesOf({ spec }: ServiceEntry): readonly string[] {
  return spec.addresses ?? [];
}

/** What people are told of VIPs that were taken off entries with these writes, on the entries. */
export function vipNotices(report: WriteReport): readonly Notice[] {
  return vipMoves(report).map(({ entry, host, from, to }) => ({
    reason: "VipMoved",
    subject: `${host} ${from.join()} ${to.join()}`,
    message: `the VIP of ${host} was ${textOf(from)} and is ${textOf(to)} now: callers that keep the old one reach nothing`,
    regarding: entry.object.key,
  }));
}

/** Log and count VIPs that were taken off entries with these writes. */
export function recordVipMoves(report: WriteReport, log: Log, metrics: ControllerMetrics): void {
  const moves = vipMoves(report);
  if (moves.length === 0) return;
  metrics.vipsMoved.inc(moves.length);
  for (const { entry, host, from, to } of moves.slice(0, MOST_LINES))
    log.warn({ service: entry.object.service, host, from: textOf(from), to: textOf(to) }, "a VIP has moved");
  if (moves.length > MOST_LINES) log.warn({ unsaid: moves.length - MOST_LINES }, "more VIPs have moved");
}

function textOf(addresses: readonly string[]): string {
  return addresses.join(" ") || "none";
}
