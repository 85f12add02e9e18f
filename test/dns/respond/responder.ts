import { zonesByName } from "../../../src/dns/answer/zones.ts";
import { loopProbe } from "../../../src/dns/forward/loop-probe.ts";
import { resolver } from "../../../src/dns/forward/resolver.ts";
import { holdQuestions } from "../../../src/dns/respond/hold.ts";
import type { Respond, RespondOptions } from "../../../src/dns/respond/options.ts";
import { responder } from "../../../src/dns/respond/respond.ts";
import { cookies } from "../../../src/dns/wire/cookies.ts";
import { silent } from "../sockets.ts";

/** A responder for the zone mesh.internal without upstreams and views; exceptions while answering go to `exceptions`. */
export function plainResponder(
  exceptions: unknown[],
  options: Pick<RespondOptions, "table"> & Partial<RespondOptions>,
): Respond {
  return responder({
    ttlSeconds: 30,
    zones: { byName: zonesByName([{ name: "mesh.internal", forward: [] }]) },
    forward: [],
    recursionAvailable: false,
    tellsServices: false,
    nsid: undefined,
    cookies: cookies(Buffer.alloc(32)),
    isAllowed: () => true,
    viewOf: () => undefined,
    isForwarder: () => true,
    resolver: resolver({ forwarder: { ask: async () => undefined } }),
    loops: loopProbe(Buffer.alloc(32)),
    hold: holdQuestions({ limit: 1 }),
    hooks: { onException: (error) => exceptions.push(error) },
    log: silent,
    ...options,
  });
}
