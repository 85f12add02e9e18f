import { covers, within } from "../../istio/ranges.ts";
import { addressForms, LOOPS, RESERVED, type Reserved } from "../../istio/reserved.ts";
import type { ServiceRead, Snapshot } from "../../model/adapter.ts";
import type { LeftOut, Service } from "../../model/service.ts";
import type { EndpointRules } from "../../model/settings.ts";

/** Where endpoints may be. */
export interface AdmitOptions extends EndpointRules {
  /** CIDRs of VIPs: a call to such an endpoint would go round in the mesh for ever. */
  readonly vips: readonly string[];
}

/** Takes endpoints out of a snapshot; with the CIDRs of the cluster's Services, as far as they are known. */
export type AdmitEndpoints = (snapshot: Snapshot, services?: readonly string[]) => Snapshot;

/** One rule, and what its reason is. */
interface Check {
  readonly has: (address: string) => boolean;
  readonly why: string;
  /** Whether an address is in a range of the operator's that lies in it. */
  readonly isAllowed: (address: string) => boolean;
}

/**
 * Take endpoints out of snapshots that are where no endpoint may be, in whatever form their address is written. Everything else keeps
 * its identity.
 *
 * An operator's `deny` counts before `allow`; with `allow`, everything else is out. What is reserved is admitted only by a range of
 * `allow` that names nothing else: 0.0.0.0/0 does not mean the caller's own machine.
 */
export function admitEndpoints(options: AdmitOptions): AdmitEndpoints {
  let services: readonly string[] = [];
  let judge = judgeOf(options, services);
  let cleaned = new WeakMap<ServiceRead, ServiceRead>();
  let known = new WeakMap<Service, Service>();

  function clean(read: ServiceRead): ServiceRead {
    const before = cleaned.get(read);
    if (before !== undefined || read.state !== "ok") return before ?? read;
    const service = known.get(read.service) ?? withoutRefused(read.service, judge);
    known.set(read.service, service);
    const now = service === read.service ? read : { ...read, service };
    cleaned.set(read, now);
    return now;
  }

  return (snapshot, ranges = []) => {
    if (ranges.join() !== services.join()) {
      services = ranges;
      judge = judgeOf(options, services);
      cleaned = new WeakMap();
      known = new WeakMap();
    }
    const reads = snapshot.services.map(clean);
    return reads.every((read, at) => read === snapshot.services[at]) ? snapshot : { ...snapshot, services: reads };
  };
}

function withoutRefused(service: Service, judge: (address: string) => string | undefined): Service {
  const left: LeftOut[] = [];
  const endpoints = service.endpoints.filter(({ address }) => {
    const reason = judge(address);
    if (reason !== undefined) left.push({ address, kind: "address", reason });
    return reason === undefined;
  });
  return left.length === 0 ? service : { ...service, endpoints, leftOut: [...service.leftOut, ...left] };
}

/** Why an address is refused; `undefined` when it is not. */
function judgeOf(
  { allow, deny = [], vips }: AdmitOptions,
  services: readonly string[],
): (address: string) => string | undefined {
  const reserved: readonly Reserved[] = [
    ...RESERVED,
    { ranges: vips, why: LOOPS, mayBeAllowed: false },
    {
      ranges: services,
      why: "must not be in the cluster's own range of Services; endpoints.allow may admit it",
      mayBeAllowed: true,
    },
  ];
  const checks = reserved.map((one): Check => {
    const allowed = one.mayBeAllowed
      ? (allow ?? []).filter((range) => one.ranges.some((all) => covers(all, range)))
      : [];
    return { has: within(one.ranges), why: one.why, isAllowed: within(allowed) };
  });
  const denied = deny.map((range) => ({ range, has: within([range]) }));
  const wanted = allow === undefined ? undefined : within(allow);

  function whyRefused(address: string): string | undefined {
    const check = checks.find(({ has, isAllowed }) => has(address) && !isAllowed(address));
    if (check !== undefined) return check.why;
    const range = denied.find(({ has }) => has(address))?.range;
    return range === undefined ? undefined : `is in ${range}, which the registry's endpoints.deny has`;
  }

  return (address) => {
    for (const form of addressForms(address)) {
      const why = whyRefused(form);
      if (why !== undefined) return form === address ? asReason(why) : `leads to ${form}, which ${why}`;
    }
    if (wanted === undefined || wanted(address)) return undefined;
    return "is in no range of the registry's endpoints.allow";
  };
}

/** `its address must …`, as adapters write it. */
function asReason(why: string): string {
  return why.startsWith("must ") ? `its address ${why}` : why;
}
