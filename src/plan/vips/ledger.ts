import type { Hold } from "../../model/plan.ts";
import type { LedgerWrite } from "../../model/target.ts";

/** Whose an address is. A line that cannot be read has no host: its address is never handed out. */
export interface LedgerLine {
  readonly address: string;
  readonly host: string | undefined;
  readonly owner: string | undefined;
  /** Set while the address rests after its host has gone. */
  readonly restingSinceMs?: number;
}

/** Which host has which VIP. */
export interface VipLedger {
  /** By address. */
  readonly lines: ReadonlyMap<string, LedgerLine>;
  /** Addresses of this owner's hosts, IPv4 first; only hosts that were asked for. */
  readonly vips: ReadonlyMap<string, readonly string[]>;
  /** Hosts that could be given none, and duplicates that someone else has to settle. */
  readonly holds: readonly Hold[];
  /** Blocks that differ from what stands, to be written before any entry that uses them. */
  readonly writes: readonly LedgerWrite[];
}
