import type { DnsHooks, Dropped } from "./hooks.ts";
import type { DnsLog } from "./quiet-log.ts";

/** Told of a client that loses something to others. */
export type OnDropped = (what: Dropped, client: string) => void;

const MESSAGES: Readonly<Record<Dropped, string>> = {
  forward: "a client has too many questions to upstreams under way; its oldest get SERVFAIL",
  hold: "a client has too many questions held for VIPs; its oldest get SERVFAIL",
  connection: "there are too many TCP connections; those that a client has had idle longest are closed",
};

/** Counts what clients lose, and says whose it was. */
export function countDropped(hooks: Pick<DnsHooks, "onDropped">, log: DnsLog): OnDropped {
  return (what, client) => {
    hooks.onDropped?.(what);
    log.warn({ client }, MESSAGES[what]);
  };
}
