/** An object of Kubernetes as it is applied. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace: string; readonly [field: string]: unknown };
  readonly [section: string]: unknown;
}

/** Its path in the API. */
export function pathOf({ apiVersion, kind, metadata: { name, namespace } }: Manifest): string {
  const base = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const plural = kind
    .toLowerCase()
    .replace(/(?<![aeiou])y$/, "ie")
    .replace(/(?:[^aeiou]s|ss)$/, "$&e");
  return `${base}/namespaces/${namespace}/${plural}s`.concat(`/${name}`);
}
