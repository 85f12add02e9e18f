import type { Kube } from "../servers/kube.ts";
import type { AuditEvent } from "../servers/kube-writes.ts";

/** One write request that was answered. */
export interface AuditedWrite {
  /** Who sent it. */
  readonly user: string;
  readonly verb: string;
  readonly resource: string;
  /** `<resource>/<namespace>/<name>` */
  readonly object: string;
  readonly code: number;
  /** RFC 3339 with six digits, so that texts compare as times do. */
  readonly startedAt: string;
  readonly endedAt: string;
}

const MESH_RESOURCES = new Set(["serviceentries", "virtualservices", "services", "configmaps"]);

/** All answered writes of `users`, by the time at which they came in. The name of a created object is in its path only by its answer. */
export async function auditedWrites(kube: Kube, users: ReadonlySet<string>): Promise<AuditedWrite[]> {
  const events = await kube.auditEvents();
  return events
    .filter(({ stage, user }) => stage === "ResponseComplete" && users.has(user.username))
    .map(toWrite)
    .sort((a, b) => (a.startedAt < b.startedAt ? -1 : 1));
}

function toWrite({
  user,
  verb,
  objectRef,
  responseStatus,
  requestReceivedTimestamp,
  stageTimestamp,
}: AuditEvent): AuditedWrite {
  const { resource = "", namespace = "", name = "" } = objectRef ?? {};
  return {
    user: user.username,
    verb,
    resource,
    object: `${resource}/${namespace}/${name}`,
    code: responseStatus?.code ?? 0,
    startedAt: requestReceivedTimestamp,
    endedAt: stageTimestamp,
  };
}

/** Writes of mesh objects and of the VIP ledger. */
export function meshWrites(writes: readonly AuditedWrite[]): AuditedWrite[] {
  return writes.filter(({ resource }) => MESH_RESOURCES.has(resource));
}

export function isDone({ code }: AuditedWrite): boolean {
  return code >= 200 && code < 300;
}

/**
 * One sentence for each of `checked` that was not within its sender's hold of the Lease: since the last successful write of
 * the Lease by the sender itself no other may have written it before the end of the request.
 */
export function writesWithoutLease(
  writes: readonly AuditedWrite[],
  lease: string,
  checked: readonly AuditedWrite[],
): string[] {
  const claims = writes.filter(
    (write) => write.resource === "leases" && write.object.endsWith(`/${lease}`) && isDone(write),
  );
  return checked.flatMap((write) => {
    // By the start of the claim: its answer may be used before the audit log says that it was sent.
    const last = claims.findLast(({ startedAt }) => startedAt <= write.startedAt);
    const next = claims.find(({ startedAt, user }) => startedAt > write.startedAt && user !== write.user);
    const { user, verb, object, code, startedAt, endedAt } = write;
    const isAlone = last?.user === user && (next === undefined || next.startedAt > endedAt);
    if (isAlone) return [];
    const others = [last, next].map((one) => (one === undefined ? "none" : `${one.user} at ${one.startedAt}`));
    return [
      `${user} ${verb} ${object} → ${code}, ${startedAt} to ${endedAt}; Lease before: ${others[0]}, then: ${others[1]}`,
    ];
  });
}

/** Tokens of service accounts that may do everything, each a user of its own in the audit log. */
export async function operators<Name extends string>(
  kube: Kube,
  ...names: readonly Name[]
): Promise<Record<Name, { readonly token: string; readonly user: string }>> {
  const made = await Promise.all(
    names.map(async (name) => {
      const token = await kube.createServiceAccountToken("default", name);
      const binding = {
        metadata: { name },
        subjects: [{ kind: "ServiceAccount", name, namespace: "default" }],
        roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "cluster-admin" },
      };
      const { status } = await kube.request("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding);
      if (status !== 201) throw new Error(`Cannot bind ${name} to cluster-admin: ${status}`);
      return [name, { token, user: `system:serviceaccount:default:${name}` }] as const;
    }),
  );
  return Object.fromEntries(made) as Record<Name, { readonly token: string; readonly user: string }>;
}
