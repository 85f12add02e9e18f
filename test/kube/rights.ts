import type { Kube } from "../servers/kube.ts";
import { MESH, SHOP } from "./objects.ts";

const ISTIO = "networking.istio.io";
const rule = (group: string, resources: readonly string[], verbs: readonly string[]) => ({
  apiGroups: [group],
  resources,
  verbs,
});
const OWN = ["get", "create", "patch", "delete"];

/** Every right that src/kube uses, cluster-wide. */
const clusterRules = [
  rule(ISTIO, ["serviceentries", "virtualservices"], ["list", "watch"]),
  rule("", ["services", "namespaces"], ["list", "watch"]),
  rule("gateway.networking.k8s.io", ["httproutes", "tcproutes"], ["list", "watch"]),
];
/** In the namespace of the entries, which here holds the ledger and the Lease too. */
const meshRules = [
  rule(ISTIO, ["serviceentries", "virtualservices"], OWN),
  rule("gateway.networking.k8s.io", ["httproutes", "tcproutes"], OWN),
  rule("", ["services"], OWN),
  rule("", ["events"], ["get", "create"]),
  rule("", ["configmaps"], ["list", "watch", "get", "create", "patch"]),
  rule("coordination.k8s.io", ["leases"], ["get", "create", "patch"]),
];
/** In the namespaces of aliases. */
const aliasRules = [rule("", ["services"], OWN), rule("", ["events"], ["get", "create"])];

/** Path of a kubeconfig with exactly the rights that src/kube needs: what is missing here fails the tests. */
export async function leastRights(kube: Kube): Promise<string> {
  const name = "x2istio";
  const token = await kube.createServiceAccountToken(MESH, name);
  const subjects = [{ kind: "ServiceAccount", name, namespace: MESH }];
  const rbac = "/apis/rbac.authorization.k8s.io/v1";
  const grant = async (base: string, kind: "Role" | "ClusterRole", rules: readonly object[]) => {
    await post(kube, `${base}/${kind.toLowerCase()}s`, { metadata: { name }, rules });
    const roleRef = { apiGroup: "rbac.authorization.k8s.io", kind, name };
    await post(kube, `${base}/${kind.toLowerCase()}bindings`, { metadata: { name }, roleRef, subjects });
  };
  await grant(rbac, "ClusterRole", clusterRules);
  await grant(`${rbac}/namespaces/${MESH}`, "Role", meshRules);
  await grant(`${rbac}/namespaces/${SHOP}`, "Role", aliasRules);
  return await kube.kubeconfigFor(token);
}

/** Create an object as administrator. */
export async function post<Body = { metadata: { uid: string; resourceVersion: string } }>(
  kube: Kube,
  path: string,
  body: object,
): Promise<Body> {
  const answer = await kube.request<Body>("POST", path, body);
  if (answer.status !== 201) throw new Error(`Cannot POST ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  return answer.body;
}
