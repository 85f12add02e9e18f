import { type Check, type Finding, whenKnown } from "./finding.ts";

const check = "definitions";
const ISTIO = "networking.istio.io";
const NEEDED = ["serviceentries", "virtualservices"];
const KUBERNETES_MINOR = 30;

/** What X2Istio writes must be served, in the version in which it writes it, and Kubernetes be new enough. */
export const definitions: Check = ({ served, version }) => [
  ...whenKnown(check, { served }, (known) => [istio(known.served)]),
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
    mend: "helm upgrade --install istio-base istio/base -n istio-system --create-namespace",
  };
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
  return { check, state: "problem", message, mend: "upgrade the cluster, one minor version at a time" };
}
