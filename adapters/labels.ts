const NAME = /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const PREFIX = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/** Why Kubernetes would refuse a label; `undefined` when it would not (apimachinery: IsQualifiedName, IsValidLabelValue). */
export function droppedLabel(key: string, value: string): string | undefined {
  if (!qualified(key)) return "its key is no Kubernetes label key";
  return value === "" || NAME.test(value) ? undefined : "its value is no Kubernetes label value";
}

function qualified(key: string): boolean {
  const slash = key.indexOf("/");
  if (!NAME.test(key.slice(slash + 1))) return false;
  return slash < 0 || (slash <= 253 && PREFIX.test(key.slice(0, slash)));
}
