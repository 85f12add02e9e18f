const NAME = /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const PREFIX = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

const OF_ISTIO = /^(?:(?:[^/]+\.)?(?:istio\.io|x2istio\.dev)\/|istio-locality$)/;

/** Why Kubernetes would refuse a label; `undefined` when it would not (apimachinery: IsQualifiedName, IsValidLabelValue). */
export function droppedLabel(key: string, value: string): string | undefined {
  if (!qualified(key)) return "its key is not a Kubernetes label key";
  return value === "" || NAME.test(value) ? undefined : "its value is not a Kubernetes label value";
}

/**
 * Why a label that whoever can register an instance has chosen may not stand on an endpoint; `undefined` when it may. By labels
 * like `security.istio.io/tlsMode` Istio is told how to reach an endpoint, and ours say whose an object is.
 */
export function refusedLabel(key: string, value: string): string | undefined {
  return OF_ISTIO.test(key) ? "only the mesh's own operator may set it" : droppedLabel(key, value);
}

function qualified(key: string): boolean {
  const slash = key.indexOf("/");
  if (!NAME.test(key.slice(slash + 1))) return false;
  return slash < 0 || (slash <= 253 && PREFIX.test(key.slice(0, slash)));
}
