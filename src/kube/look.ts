import { describeError } from "../errors.ts";
import type { ClusterFacts, Fact, JudgedRight, NamespaceFact, Right, ServiceFact } from "../model/cluster-facts.ts";
import type { KubeClient } from "./client.ts";
import { each } from "./each.ts";
import { hasStatus } from "./kube-error.ts";
import { listAll } from "./list.ts";
import {
  readyEndpoints,
  toConfigMap,
  toEntry,
  toIstio,
  toIstiodPod,
  toNode,
  toPod,
  toService,
  toSidecar,
} from "./look-project.ts";
import { fieldsOf, listOf, type RawObject, stringMapOf, stringsOf } from "./raw.ts";
import { collectionPath, RESOURCES } from "./resources.ts";

/** Options of {@link lookAtCluster}. */
export interface LookOptions {
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
export async function lookAtCluster(client: KubeClient, options: LookOptions): Promise<ClusterFacts> {
  const { istioNamespace, dnsNamespace, signal } = options;
  const core = "/api/v1";
  const istio = "/apis/networking.istio.io/v1";
  const version = await readVersion(client, signal);

  async function list<Value>(
    title: string,
    path: string,
    toValue: (raw: RawObject) => Value | undefined,
    query: Readonly<Record<string, string>> = {},
  ): Promise<readonly Value[]> {
    options.onProgress?.(title);
    const found: Value[] = [];
    await listAll(client, {
      path,
      query,
      title,
      pageSize: options.pageSize ?? PAGE_SIZE,
      signal,
      onBegin: () => found.splice(0),
      onItem(raw) {
        const value = toValue(raw);
        if (value !== undefined) found.push(value);
      },
    });
    return found;
  }
  const known = <Value>(read: () => Promise<Value>) => factOf(read, signal);
  const inIstio = (plural: string) => `${core}/namespaces/${istioNamespace}/${plural}`;

  // One after the other: it is in no hurry, and the API server has others to serve.
  const services = await known(() => list("services", collectionPath(RESOURCES.Service), toService));
  return {
    nowMs: client.nowMs(),
    version,
    served: await known(() => readServed(client, signal)),
    namespaces: await known(
      async () => new Map(await list("namespaces", collectionPath(RESOURCES.Namespace), toNamespace)),
    ),
    istio: await known(async () => {
      const leases = `/apis/coordination.k8s.io/v1/namespaces/${istioNamespace}/leases`;
      const whole = (raw: RawObject) => raw;
      return toIstio(
        await list(`configmaps of ${istioNamespace}`, inIstio("configmaps"), whole),
        await list(`leases of ${istioNamespace}`, leases, whole),
      );
    }),
    istiodPods: await known(() =>
      list(`pods of ${istioNamespace}`, inIstio("pods"), toIstiodPod, { labelSelector: "app=istiod" }),
    ),
    pods: await known(() => list("pods", `${core}/pods`, toPod)),
    nodes: await known(() => list("nodes", `${core}/nodes`, toNode)),
    services,
    serviceRanges: await known(async () =>
      (
        await list("servicecidrs", "/apis/networking.k8s.io/v1/servicecidrs", (raw) =>
          stringsOf(fieldsOf(raw.spec).cidrs),
        ).catch(emptyIfAbsent)
      ).flat(),
    ),
    entries: await known(() => list("serviceentries", collectionPath(RESOURCES.ServiceEntry), toEntry)),
    sidecars: await known(() => list("sidecars", `${istio}/sidecars`, toSidecar)),
    corefiles: await known(() =>
      list(`configmaps of ${dnsNamespace}`, `${core}/namespaces/${dnsNamespace}/configmaps`, toConfigMap),
    ),
    dnsBackends: await known(async () => {
      if (!services.known) throw new Error(services.why);
      const ours = services.value.filter(isOurDns);
      const counted = ours.map(async ({ namespace, name }) => {
        const path = `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`;
        const slices = await list("endpointslices", path, readyEndpoints, {
          labelSelector: `kubernetes.io/service-name=${name}`,
        });
        return [`${namespace}/${name}`, slices.reduce((sum, ready) => sum + ready, 0)] as const;
      });
      return new Map(await Promise.all(counted));
    }),
    rights: await known(() => judge(client, options)),
  };
}

function isOurDns({ isOurs, udpPorts }: ServiceFact): boolean {
  return isOurs && udpPorts.length > 0;
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

/** Kubernetes has ServiceCIDRs since 1.33. */
function emptyIfAbsent(error: unknown): readonly never[] {
  if (hasStatus(error, 404)) return [];
  throw error;
}

/** Ask for each right: an access review is a question in the form of a write, and leaves nothing behind. */
async function judge(client: KubeClient, { rights, user, signal }: LookOptions): Promise<readonly JudgedRight[]> {
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
