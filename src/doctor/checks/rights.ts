import type { JudgedRight, Right } from "../../model/cluster-facts.ts";
import { type Check, valueOr, whenKnown } from "../check.ts";
import type { Finding } from "../finding.ts";
import { aliasNamespaces, type DoctorSettings } from "../settings.ts";
import { shellWord } from "../text.ts";

const check = "rights";
const ISTIO = "networking.istio.io";

/** Verbs on resources of one group. */
interface Grant {
  readonly namespace?: string;
  readonly group: string;
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  /** Of the only object that they are needed on. */
  readonly name?: string;
}

type RightsSettings = Pick<
  DoctorSettings,
  "owner" | "registries" | "aliases" | "vips" | "policy" | "exposures" | "migration" | "target" | "http"
>;

/** Every right that the program uses under this configuration: what deploy/kustomize grants, and nothing else. */
export function neededRights(settings: RightsSettings): readonly Right[] {
  const { vips, policy } = settings;
  const ledger = { namespace: vips.ledgerNamespace, group: "", resources: ["configmaps"] };
  const writes = policy.mode === "dry-run" ? [] : writeGrants(settings, ledger);
  const { allow = [], claims = [] } = settings.migration ?? {};
  const claimed = allow.length + claims.length > 0 ? READ_FOR_CLAIMS : [];
  const asks = settings.http?.authorization === undefined ? [] : ASK_FOR_ACCESS;
  return [...READ, ...claimed, { ...ledger, verbs: ["list", "watch"] }, ...writes, ...asks].flatMap(rightsOf);
}

/** In the whole cluster. */
const READ: readonly Grant[] = [
  { group: ISTIO, resources: ["serviceentries", "virtualservices"], verbs: ["list", "watch"] },
  { group: "gateway.networking.k8s.io", resources: ["httproutes", "tcproutes"], verbs: ["list", "watch"] },
  { group: "", resources: ["services", "namespaces"], verbs: ["list", "watch"] },
  { group: "networking.k8s.io", resources: ["servicecidrs"], verbs: ["list"] },
];

/** Likewise, where services may be claimed. */
const READ_FOR_CLAIMS: readonly Grant[] = [
  { group: ISTIO, resources: ["sidecars"], verbs: ["list", "watch"] },
  { group: "security.istio.io", resources: ["peerauthentications"], verbs: ["list", "watch"] },
  { group: "discovery.k8s.io", resources: ["endpointslices"], verbs: ["list", "watch"] },
];

const REVIEW_TOKENS: Grant = { group: "authentication.k8s.io", resources: ["tokenreviews"], verbs: ["create"] };

/** Likewise, where the cluster says who may read. */
const ASK_FOR_ACCESS: readonly Grant[] = [
  REVIEW_TOKENS,
  { group: "authorization.k8s.io", resources: ["subjectaccessreviews"], verbs: ["create"] },
];

const GATEWAY_ROUTES = {
  group: "gateway.networking.k8s.io",
  resources: ["httproutes", "tcproutes"],
  verbs: ["get", "create", "patch", "delete"],
};

function writeGrants(settings: RightsSettings, ledger: Omit<Grant, "verbs">): readonly Grant[] {
  const { namespace } = settings.target;
  const lease = { namespace, group: "coordination.k8s.io", resources: ["leases"] };
  const events = { group: "", resources: ["events"], verbs: ["get", "create"] };
  return [
    {
      namespace,
      group: ISTIO,
      resources: ["serviceentries", "virtualservices"],
      verbs: ["get", "create", "patch", "delete"],
    },
    ...demandGrants(settings),
    ...(settings.exposures.some(({ api }) => api === "gateway") ? [{ namespace, ...GATEWAY_ROUTES }] : []),
    { namespace, ...events },
    { ...lease, verbs: ["create"] },
    { ...lease, verbs: ["get", "patch"], name: `x2istio-${settings.owner}` },
    ...(settings.vips.mode === "ledger" ? [{ ...ledger, verbs: ["get", "create", "patch"] }] : []),
    ...aliasNamespaces(settings).flatMap((place) => [
      { namespace: place, group: "", resources: ["services"], verbs: ["get", "create", "patch", "delete"] },
      ...(place === namespace
        ? []
        : [
            { namespace: place, group: ISTIO, resources: ["serviceentries"], verbs: ["get", "patch"] },
            { namespace: place, ...events },
          ]),
    ]),
  ];
}

/** Replicas tell the leader what was asked for; and the cluster says whose a token is. */
function demandGrants({ registries, target: { namespace }, owner, http }: RightsSettings): readonly Grant[] {
  const channel = { namespace, group: "", resources: ["configmaps"] };
  return [
    ...(registries.some(({ demand }) => demand === "reported")
      ? [
          { ...channel, verbs: ["create"] },
          { ...channel, verbs: ["list", "watch", "patch"], name: demandName(owner) },
        ]
      : []),
    // Who may read is asked of the cluster by the same right.
    ...(http?.reports?.tokenReview === undefined || http.authorization !== undefined ? [] : [REVIEW_TOKENS]),
  ];
}

function demandName(owner: string): string {
  return `x2istio-${owner}-demand`;
}

function rightsOf({ resources, verbs, ...rest }: Grant): readonly Right[] {
  return resources.flatMap((resource) => verbs.map((verb) => ({ ...rest, resource, verb })));
}

/** The program must be allowed to do all that it does. */
export const rights: Check = (facts, settings) =>
  whenKnown(check, { rights: facts.rights }, ({ rights: judged }) => {
    const who = settings.user ?? "the user who runs doctor";
    const entries = valueOr(facts.entries, []);
    const filled = new Set(entries.flatMap(({ namespace, isPremade }) => (isPremade ? [namespace] : [])));
    const missing = judged.filter(
      ({ right, isAllowed }) => !isAllowed && !(isForPremade(right, settings) && !filled.has(right.namespace ?? "")),
    );
    if (missing.length === 0)
      return [{ check, state: "fine", message: `${who} may do all that is needed: ${judged.length} rights` }];
    const byPlace = Map.groupBy(missing, ({ right }) => right.namespace);
    return [...byPlace].map(([namespace, ones]) => finding(who, namespace, ones, settings));
  });

/** Needed only where there are entries that ask to be filled. */
function isForPremade({ group, resource, namespace }: Right, { target }: DoctorSettings): boolean {
  return group === ISTIO && resource === "serviceentries" && namespace !== undefined && namespace !== target.namespace;
}

function finding(
  who: string,
  namespace: string | undefined,
  missing: readonly JudgedRight[],
  settings: DoctorSettings,
): Finding {
  const byResource = Map.groupBy(missing, ({ right }) => resourceOf(right));
  const verbs = [...byResource].map(
    ([resource, ones]) => [resource, ones.map(({ right }) => right.verb).join(", ")] as const,
  );
  const what = [...Map.groupBy(verbs, ([, names]) => names)].map(
    ([names, ones]) => `${names} ${ones.map(([resource]) => resource).join(" and ")}`,
  );
  return {
    check,
    state: "problem",
    message: `${who} may not ${what.join("; ")} in ${namespace === undefined ? "the cluster" : `namespace ${namespace}`}`,
    fix: isProgram(settings.user)
      ? applied(namespace, new Set(missing.map(({ right }) => manifestOf(right, settings))), settings)
      : OWN_RIGHTS,
  };
}

/** A person's rights are no reason to grant the program's account more. */
const OWN_RIGHTS =
  "run it as an administrator, or check the program's account instead: x2istio doctor --as system:serviceaccount:x2istio-system:x2istio; kubectl auth whoami says who you are";

function isProgram(user: string | undefined): boolean {
  return user?.startsWith("system:serviceaccount:") === true;
}

function resourceOf({ group, resource, name }: Right): string {
  return `${resource}${group && `.${group}`}${name === undefined ? "" : ` ${name}`}`;
}

/** A right's resource, but for those that have a manifest of their own. */
function manifestOf({ resource, name, namespace }: Right, { owner, vips }: DoctorSettings): string {
  const isDemand = name === demandName(owner) || (resource === "configmaps" && namespace !== vips.ledgerNamespace);
  return isDemand ? "demand" : resource;
}

/** Which manifests of deploy/kustomize grant what is missing in a place. */
function applied(
  namespace: string | undefined,
  resources: ReadonlySet<string>,
  { target, vips, owner, http }: DoctorSettings,
): string {
  const base = "deploy/kustomize/base";
  if (namespace === undefined) {
    const asked = ["tokenreviews", "subjectaccessreviews"].filter((one) => resources.has(one));
    const file = http?.authorization === undefined ? "reported/rbac-reports" : "authorization/rbac-authorization";
    const reviews = asked.length > 0 ? [`deploy/kustomize/${file}.yaml`] : [];
    const read = resources.size > asked.length ? [`${base}/rbac-read.yaml`] : [];
    return `kubectl apply ${[...read, ...reviews].map((file) => `-f ${file}`).join(" ")}`;
  }
  if (namespace !== target.namespace && namespace !== vips.ledgerNamespace)
    return `kubectl apply -n ${shellWord(namespace)} -f deploy/kustomize/alias-namespace/rbac-aliases.yaml`;
  const files = [
    ...(["serviceentries", "virtualservices", "leases", "events"].some((one) => resources.has(one)) ? ["target"] : []),
    ...(resources.has("configmaps") ? ["ledger"] : []),
    ...(resources.has("services") ? ["aliases"] : []),
  ].map((name) => `${base}/rbac-${name}.yaml`);
  if (resources.has("demand")) files.push("deploy/kustomize/reported/rbac-demand.yaml");
  // The files say which owner and namespace they are for.
  const edits = [
    ...(owner === "main" ? [] : [`s/x2istio-main/x2istio-${owner}/`]),
    ...(namespace === "mesh-services" ? [] : [`s/namespace: mesh-services/namespace: ${namespace}/`]),
  ];
  if (edits.length === 0) return `kubectl apply ${files.map((file) => `-f ${file}`).join(" ")}`;
  const sed = `sed ${edits.map((edit) => `-e ${shellWord(edit)}`).join(" ")}`;
  return files.map((file) => `${sed} ${file} | kubectl apply -f -`).join(" && ");
}
