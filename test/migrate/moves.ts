import type { Move } from "../../src/migrate/moves.ts";
import type { Claim } from "../../src/model/claim.ts";

const claim: Claim = {
  ...{ namespace: "shop", name: "orders-v2", service: "vms/shop/orders", source: "annotation" },
  ...{ stage: "outside", weight: 0, request: "", sni: undefined, live: undefined, problems: [] },
};

/** A move of `vms/shop/<name>`, claimed and without blockers unless `fields` say otherwise. */
export function move(name: string, fields: Partial<Move> = {}): Move {
  return {
    ...{ service: `vms/shop/${name}`, host: `${name}.shop.vms.mesh.internal`, stage: "outside", weight: 0 },
    ...{
      claimants: [{ namespace: "shop", name: `${name}-v2` }],
      claim,
      decision: undefined,
      blockers: [],
      callers: [],
    },
    ...fields,
  };
}

/** What keeps `vms/shop/stock` from being moved. */
export const blocked = { kind: "endpoints", message: "shop/stock-v2 has no ready endpoint: start one" } as const;
