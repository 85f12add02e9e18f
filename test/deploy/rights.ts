import type { Manifest, Role } from "./manifests.ts";

/** One verb on one resource: in one namespace, or in the whole cluster. */
export interface Right {
  readonly namespace?: string | undefined;
  readonly group: string;
  readonly resource: string;
  readonly verb: string;
  /** Of the objects that a grant is limited to, or of the object that a request is about. */
  readonly names?: readonly string[] | undefined;
}

/** Every verb that the Roles and ClusterRoles among `manifests` grant. */
export function granted(manifests: readonly Manifest[]): readonly Right[] {
  const roles = manifests.filter(({ kind }) => kind === "Role" || kind === "ClusterRole") as Role[];
  return roles.flatMap(({ metadata: { namespace }, rules }) =>
    rules.flatMap(({ apiGroups, resources, resourceNames: names, verbs }) =>
      apiGroups.flatMap((group) =>
        resources.flatMap((resource) => verbs.map((verb) => ({ namespace, group, resource, verb, names }))),
      ),
    ),
  );
}

const VERBS: Readonly<Record<string, string>> = { POST: "create", PUT: "update", PATCH: "patch", DELETE: "delete" };

/** What "GET /path?query" asks for, as the API server reads it (apiserver, pkg/endpoints/request/requestinfo.go). */
export function asked(request: string): Right {
  const [method = "", target = ""] = request.split(" ");
  const { pathname, searchParams } = new URL(target, "http://localhost");
  const parts = pathname.split("/").slice(1).map(decodeURIComponent);
  const [, , ...inCore] = parts;
  const [group, rest] = parts[0] === "api" ? ["", inCore] : [parts[1] ?? "", parts.slice(3)];
  const isInNamespace = rest[0] === "namespaces" && rest.length > 2;
  const [resource = "", name, subresource] = isInNamespace ? rest.slice(2) : rest;
  const reading = name !== undefined ? "get" : searchParams.has("watch") ? "watch" : "list";
  const names = name === undefined ? undefined : [name];
  return {
    namespace: isInNamespace ? rest[1] : undefined,
    group,
    resource: subresource === undefined ? resource : `${resource}/${subresource}`,
    verb: VERBS[method] ?? reading,
    names,
  };
}

/** Whether `right` allows `request`. */
export function allows(right: Right, request: Right): boolean {
  return (
    (right.namespace === undefined || right.namespace === request.namespace) &&
    right.group === request.group &&
    right.resource === request.resource &&
    right.verb === request.verb &&
    (right.names === undefined || right.names.some((name) => request.names?.includes(name)))
  );
}

/** For messages: `patch leases.coordination.k8s.io in mesh-services`. */
export function describeRight({ namespace, group, resource, verb }: Right): string {
  return `${verb} ${resource}${group && `.${group}`} in ${namespace ?? "the cluster"}`;
}
