import { addressText } from "../../istio/address.ts";
import { isBelow, isHostName } from "../../istio/host-names.ts";
import { covers, rangeOf, within } from "../../istio/ranges.ts";
import {
  addressForms,
  LOOPS,
  METADATA_DOMAINS,
  RESERVED,
  RESERVED_DOMAINS,
  type Reserved,
} from "../../istio/reserved.ts";
import type { ServiceRead, Snapshot } from "../../model/adapter.ts";
import type { LeftOut, Service } from "../../model/service.ts";
import type { EndpointRules } from "../../model/settings.ts";

/** Where endpoints may be. */
export interface AdmitOptions extends EndpointRules {
  /** CIDRs of VIPs: a call to such an endpoint would go round in the mesh for ever. */
  readonly vips: readonly string[];
  /** Zones whose names lead to such VIPs. */
  readonly zones?: readonly string[];
  /** The domain of the cluster's Services, `cluster.local`. */
  readonly clusterDomain?: string;
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
 * Host names are judged by domains, addresses by ranges: `allow: [10.0.0.0/8]` lets no host name in. An operator's `deny` counts before `allow`; with `allow`, everything else is out. What is reserved is admitted only by a range of
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
    if (reason !== undefined) left.push({ address: addressText(address), kind: "address", reason });
    return reason === undefined;
  });
  return left.length === 0 ? service : { ...service, endpoints, leftOut: [...service.leftOut, ...left] };
}

/** Why an address is refused; `undefined` when it is not. */
function judgeOf(options: AdmitOptions, services: readonly string[]): (address: string) => string | undefined {
  const { vips } = options;
  const allow = options.allow?.filter(isRange);
  const deny = (options.deny ?? []).filter(isRange);
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

  const hostNames = judgeOfHostNames(options);
  return (address) => {
    if (isHostName(address)) return hostNames(address);
    for (const form of addressForms(address)) {
      const why = whyRefused(form);
      if (why !== undefined) return form === address ? asReason(why) : `leads to ${form}, which ${why}`;
    }
    if (wanted === undefined || wanted(address)) return undefined;
    return "is in no range of the registry's endpoints.allow";
  };
}

/**
 * Nobody knows here where a host name leads. What is refused is what cannot be meant (the caller's own machine, a name that leads back into
 * the mesh) and what a registrant is in no position to choose (a cloud's metadata service, a Service of the cluster).
 */
function judgeOfHostNames({
  allow,
  deny = [],
  zones = [],
  clusterDomain,
}: AdmitOptions): (hostName: string) => string | undefined {
  const reserved = [
    ...zones.map((domain) => ({
      domain,
      why: `is in ${domain}, whose names lead to VIPs: a call would loop back into the mesh`,
    })),
    ...(clusterDomain === undefined
      ? []
      : [{ domain: clusterDomain, why: `is in ${clusterDomain}, the cluster's own domain` }]),
    ...RESERVED_DOMAINS.map((domain) => ({ domain, why: `is in ${domain}, in which no registry's service can be` })),
    ...METADATA_DOMAINS.map((domain) => ({
      domain,
      why: "must not be a cloud's metadata service, which gives out credentials",
    })),
  ];
  const denied = deny.filter((one) => !isRange(one));
  return (hostName) => {
    const why = reserved.find(({ domain }) => isBelow(hostName, domain))?.why;
    if (why !== undefined) return `its address ${why}`;
    const domain = denied.find((one) => isBelow(hostName, one));
    if (domain !== undefined) return `is in ${domain}, which the registry's endpoints.deny has`;
    if (allow === undefined || allow.some((one) => isBelow(hostName, one))) return undefined;
    return "is in no domain of the registry's endpoints.allow";
  };
}

function isRange(text: string): boolean {
  return rangeOf(text) !== undefined;
}

/** `its address must …`, as adapters write it. */
function asReason(why: string): string {
  return why.startsWith("must ") ? `its address ${why}` : why;
}
