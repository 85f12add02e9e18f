import { type Check, whenKnown } from "../check.ts";
import type { Finding } from "../finding.ts";
import type { DoctorSettings } from "../settings.ts";

const check = "definitions";
const ISTIO = "networking.istio.io";
const GATEWAY = "gateway.networking.k8s.io";
const NEEDED = ["serviceentries", "virtualservices"];
const KUBERNETES_MINOR = 30;

/** What X2Istio writes must be served, in the version in which it writes it, and Kubernetes be new enough. */
export const definitions: Check = ({ served, version }, { exposures }) => [
  ...whenKnown(check, { served }, (known) => [istio(known.served), ...gateway(known.served, exposures)]),
  ...whenKnown(check, { version }, (known) => [kubernetes(known.version)]),
];

function istio(served: ReadonlyMap<string, ReadonlySet<string>>): Finding {
  const kinds = served.get(`${ISTIO}/v1`);
  const missing = NEEDED.filter((kind) => kinds?.has(kind) !== true);
  if (missing.length === 0)
    return { check, state: "fine", message: `${NEEDED.join(" and ")} are served in ${ISTIO}/v1` };
  const older = [...served].flatMap(([version, kinds]) =>
    version.startsWith(`${ISTIO}/`) && missing.every((kind) => kinds.has(kind)) ? [version] : [],
  );
  const also = older.length === 0 ? "" : `, only in ${older.join(" and ")}`;
  return {
    check,
    state: "problem",
    message: `${missing.join(" and ")} are not served in ${ISTIO}/v1${also}: their CRDs are missing, or of an Istio before 1.22`,
    fix: "helm upgrade --install istio-base istio/base -n istio-system --create-namespace",
  };
}

/** Only what exposures need: HTTPRoutes for hosts, TCPRoutes for the others. */
function gateway(
  served: ReadonlyMap<string, ReadonlySet<string>>,
  exposures: DoctorSettings["exposures"],
): readonly Finding[] {
  const routes = exposures.filter(({ api }) => api === "gateway");
  const needed = new Set(routes.map(({ hosts }) => (hosts.length > 0 ? "httproutes" : "tcproutes")));
  const missing = [...needed].filter((kind) => served.get(`${GATEWAY}/v1`)?.has(kind) !== true).sort();
  if (needed.size === 0) return [];
  if (missing.length === 0)
    return [{ check, state: "fine", message: `${[...needed].sort().join(" and ")} are served in ${GATEWAY}/v1` }];
  return [
    {
      check,
      state: "problem",
      message: `exposures need ${missing.join(" and ")} in ${GATEWAY}/v1, which are not served (TCPRoutes since Gateway API 1.6)`,
      fix: "kubectl apply --server-side -f https://github.com/kubernetes-sigs/gateway-api/releases/latest/download/standard-install.yaml",
    },
  ];
}

function kubernetes(version: string): Finding {
  const [, major, minor] = /^v(\d+)\.(\d+)/.exec(version) ?? [];
  if (major === undefined || minor === undefined)
    return {
      check,
      state: "unchecked",
      message: `could not be checked: Kubernetes calls itself ${JSON.stringify(version)}`,
    };
  const isEnough = Number(major) > 1 || Number(minor) >= KUBERNETES_MINOR;
  if (isEnough) return { check, state: "fine", message: `Kubernetes is ${version}` };
  const message = `Kubernetes is ${version}, but 1.${KUBERNETES_MINOR} or later is needed`;
  return { check, state: "problem", message, fix: "upgrade the cluster, one minor version at a time" };
}
