import { each } from "../../async/each.ts";
import { describeError } from "../../errors.ts";
import { fieldsOf, listOf, stringMapOf } from "../../istio/fields.ts";
import type {
  ClusterFacts,
  ConfigMapFact,
  Fact,
  IstiodPod,
  IstioFacts,
  JudgedRight,
  NamespaceFact,
  Right,
  ServiceFact,
} from "../../model/cluster-facts.ts";
import type { KubeClient } from "../client/client.ts";
import { hasStatus } from "../client/kube-error.ts";
import { listAll } from "../client/list.ts";
import type { RawObject } from "../client/raw.ts";
import { collectionPath, RESOURCES } from "../client/resources.ts";
import { readyCount } from "../watch/claims.ts";
import {
  toConfigMap,
  toEntry,
  toHostRule,
  toIstio,
  toIstiodPod,
  toNode,
  toPod,
  toService,
  toSidecar,
  toTlsRule,
} from "./project.ts";
import { cidrsOf, SERVICE_CIDRS } from "./service-ranges.ts";

/** Options of {@link readClusterFacts}. */
export interface FactsOptions {
  /** Where istiod has its ConfigMaps. */
  readonly istioNamespace: string;
  /** Where the cluster's DNS has its ConfigMaps. */
  readonly dnsNamespace: string;
  readonly rights: readonly Right[];
  /** Whose rights they are to be, such as `system:serviceaccount:x2istio-system:x2istio`. Default: one's own. */
  readonly user?: string | undefined;
  readonly signal: AbortSignal;
  /** Told what is read now: `pods`. */
  readonly onProgress?: (title: string) => void;
  /** Objects per page of a list. Default 250. */
  readonly pageSize?: number;
}

const PAGE_SIZE = 250;
const REVIEWS_AT_ONCE = 8;

/**
 * Read what says whether X2Istio can work in a cluster. Nothing is written, lists are read in pages and only what is needed of
 * each object is kept. What cannot be read, for want of rights or of the kind itself, is unknown by itself.
 *
 * @throws When the API server does not answer at all.
 */
export async function readClusterFacts(client: KubeClient, options: FactsOptions): Promise<ClusterFacts> {
  const { signal } = options;
  const version = await readVersion(client, signal);
  const list = lister(client, options);
  const known = <Value>(read: () => Promise<Value>) => factOf(read, signal);
  // One after the other: it is in no hurry, and the API server has others to serve.
  const services = await known(() => list("services", collectionPath(RESOURCES.Service), toService));
  return {
    nowMs: client.nowMs(),
    version,
    services,
    served: await known(() => readServed(client, signal)),
    namespaces: await known(
      async () => new Map(await list("namespaces", collectionPath(RESOURCES.Namespace), toNamespace)),
    ),
    istio: await known(() => readIstio(list, options)),
    istiodPods: await known(() => readIstiodPods(list, options)),
    pods: await known(() => list("pods", "/api/v1/pods", toPod)),
    nodes: await known(() => list("nodes", "/api/v1/nodes", toNode)),
    serviceRanges: await known(() => readServiceRanges(list)),
    entries: await known(() => list("serviceentries", collectionPath(RESOURCES.ServiceEntry), toEntry)),
    sidecars: await known(() => list("sidecars", collectionPath(RESOURCES.Sidecar), toSidecar)),
    tlsRules: await known(() => list("destinationrules", DESTINATION_RULES, toTlsRule)),
    hostRules: await known(async () => [
      ...(await list("virtualservices", collectionPath(RESOURCES.VirtualService), toHostRule("VirtualService"))),
      ...(await list("destinationrules", DESTINATION_RULES, toHostRule("DestinationRule"))),
    ]),
    corefiles: await known(() => readCorefiles(list, options)),
    dnsBackends: await known(() => readDnsBackends(list, services)),
    rights: await known(() => judge(client, options)),
  };
}

const DESTINATION_RULES = "/apis/networking.istio.io/v1/destinationrules";

/** Lists everything at a path, in pages, and keeps what `toValue` makes of each object. */
type Lister = <Value>(
  title: string,
  path: string,
  toValue: (raw: RawObject) => Value | undefined,
  labelSelector?: string,
) => Promise<readonly Value[]>;

function lister(client: KubeClient, { signal, onProgress, pageSize = PAGE_SIZE }: FactsOptions): Lister {
  return async (title, path, toValue, labelSelector) => {
    onProgress?.(title);
    const found: NonNullable<ReturnType<typeof toValue>>[] = [];
    await listAll(client, {
      path,
      ...(labelSelector !== undefined && { query: { labelSelector } }),
      title,
      pageSize,
      signal,
      onBegin: () => found.splice(0),
      onItem(raw) {
        const value = toValue(raw);
        if (value !== undefined && value !== null) found.push(value);
      },
    });
    return found;
  };
}

async function readIstio(list: Lister, { istioNamespace }: FactsOptions): Promise<IstioFacts> {
  const leases = collectionPath(RESOURCES.Lease, istioNamespace);
  const maps = collectionPath(RESOURCES.ConfigMap, istioNamespace);
  const whole = (raw: RawObject) => raw;
  return toIstio(
    await list(`configmaps of ${istioNamespace}`, maps, whole),
    await list(`leases of ${istioNamespace}`, leases, whole),
  );
}

function readIstiodPods(list: Lister, { istioNamespace }: FactsOptions): Promise<readonly IstiodPod[]> {
  const path = `/api/v1/namespaces/${istioNamespace}/pods`;
  return list(`pods of ${istioNamespace}`, path, toIstiodPod, "app=istiod");
}

function readCorefiles(list: Lister, { dnsNamespace }: FactsOptions): Promise<readonly ConfigMapFact[]> {
  return list(`configmaps of ${dnsNamespace}`, collectionPath(RESOURCES.ConfigMap, dnsNamespace), toConfigMap);
}

/** Kubernetes has ServiceCIDRs since 1.33; before, none are known. */
async function readServiceRanges(list: Lister): Promise<readonly string[]> {
  try {
    return (await list("servicecidrs", SERVICE_CIDRS, cidrsOf)).flat();
  } catch (error) {
    if (hasStatus(error, 404)) return [];
    throw error;
  }
}

async function readDnsBackends(
  list: Lister,
  services: Fact<readonly ServiceFact[]>,
): Promise<ReadonlyMap<string, number>> {
  if (!services.known) throw new Error(services.why);
  const ours = services.value.filter(({ isOurs, udpPorts }) => isOurs && udpPorts.length > 0);
  const counted = ours.map(async ({ namespace, name }) => {
    const path = collectionPath(RESOURCES.EndpointSlice, namespace);
    const slices = await list("endpointslices", path, readyCount, `kubernetes.io/service-name=${name}`);
    return [`${namespace}/${name}`, slices.reduce((sum, ready) => sum + ready, 0)] as const;
  });
  return new Map(await Promise.all(counted));
}

async function factOf<Value>(read: () => Promise<Value>, signal: AbortSignal): Promise<Fact<Value>> {
  try {
    return { known: true, value: await read() };
  } catch (error) {
    signal.throwIfAborted();
    return { known: false, why: describeError(error) };
  }
}

/** The first request: it also shows whether there is anyone to ask. */
async function readVersion(client: KubeClient, signal: AbortSignal): Promise<Fact<string>> {
  try {
    const body = await client.request({ method: "GET", path: "/version", action: "read the version", signal });
    return { known: true, value: String(fieldsOf(body).gitVersion) };
  } catch (error) {
    if (!hasStatus(error, 403)) throw error;
    return { known: false, why: describeError(error) };
  }
}

/** The groups whose kinds are needed, and in which versions they are served. */
async function readServed(client: KubeClient, signal: AbortSignal): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
  const served = new Map<string, ReadonlySet<string>>();
  for (const group of ["networking.istio.io", "security.istio.io", "gateway.networking.k8s.io"]) {
    const about = await read(`/apis/${group}`, `read the versions of ${group}`);
    for (const version of listOf(fieldsOf(about).versions).map((one) => String(fieldsOf(one).groupVersion))) {
      const kinds = listOf(fieldsOf(await read(`/apis/${version}`, `read the kinds of ${version}`)).resources);
      served.set(version, new Set(kinds.map((kind) => String(fieldsOf(kind).name))));
    }
  }
  return served;

  async function read(path: string, action: string): Promise<unknown> {
    try {
      return await client.request({ method: "GET", path, action, signal });
    } catch (error) {
      if (hasStatus(error, 404)) return undefined;
      throw error;
    }
  }
}

function toNamespace({ metadata }: RawObject): readonly [string, NamespaceFact] {
  const { name = "", labels, deletionTimestamp } = metadata ?? {};
  const isTerminating = deletionTimestamp !== undefined && deletionTimestamp !== null;
  return [name, { labels: stringMapOf(labels), isTerminating }];
}

/** Ask for each right: an access review is a question in the form of a write, and leaves nothing behind. */
async function judge(client: KubeClient, { rights, user, signal }: FactsOptions): Promise<readonly JudgedRight[]> {
  const judged = new Map<Right, boolean>();
  const failures: unknown[] = [];
  await each(rights, REVIEWS_AT_ONCE, async (right) => {
    try {
      if (failures.length === 0) judged.set(right, await review(client, right, user, signal));
    } catch (error) {
      failures.push(error);
    }
  });
  if (failures.length > 0) throw failures[0];
  return rights.map((right) => ({ right, isAllowed: judged.get(right) === true }));
}

async function review(
  client: KubeClient,
  { namespace, group, resource, verb, name }: Right,
  user: string | undefined,
  signal: AbortSignal,
): Promise<boolean> {
  const kind = user === undefined ? "SelfSubjectAccessReview" : "SubjectAccessReview";
  const resourceAttributes = { group, resource, verb, ...(namespace && { namespace }), ...(name && { name }) };
  const answer = await client.request({
    method: "POST",
    path: `/apis/authorization.k8s.io/v1/${kind.toLowerCase()}s`,
    action: `ask whether ${user ?? "this user"} may ${verb} ${resource}`,
    body: {
      apiVersion: "authorization.k8s.io/v1",
      kind,
      spec: { resourceAttributes, ...(user !== undefined && { user, groups: groupsOf(user) }) },
    },
    signal,
  });
  return fieldsOf(fieldsOf(answer).status).allowed === true;
}

/** A service account's groups are known by its name (kube-apiserver, pkg/serviceaccount). */
function groupsOf(user: string): readonly string[] {
  const [, namespace] = /^system:serviceaccount:([^:]+):[^:]+$/.exec(user) ?? [];
  const accounts = ["system:serviceaccounts", `system:serviceaccounts:${namespace}`];
  return [...(namespace === undefined ? [] : accounts), "system:authenticated"];
}
