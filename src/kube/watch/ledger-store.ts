import { LEDGER_PREFIX } from "../../istio/addresses.ts";
import { stringMapOf } from "../../istio/fields.ts";
import type { StandingLedgerBlock } from "../../model/standing.ts";
import type { Store } from "./store.ts";

/** The blocks of the VIP ledger that stand, by name, and what keeps them current. */
export interface LedgerStore extends Store {
  readonly standing: ReadonlyMap<string, StandingLedgerBlock>;
}

/** No block stands. */
export function ledgerStore(): LedgerStore {
  const ledger = new Map<string, StandingLedgerBlock>();
  return {
    standing: ledger,
    keyOf: ({ metadata }) => (metadata?.name?.startsWith(LEDGER_PREFIX) ? metadata.name : undefined),
    put(name, raw) {
      const { resourceVersion = "" } = raw.metadata ?? {};
      if (ledger.get(name)?.resourceVersion === resourceVersion) return false;
      ledger.set(name, { name, resourceVersion, data: stringMapOf(raw.data) });
      return true;
    },
    drop: (name) => ledger.delete(name),
    keys: () => [...ledger.keys()],
  };
}
