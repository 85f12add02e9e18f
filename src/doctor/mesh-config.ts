import { parseDocument } from "yaml";
import type { IstioFacts } from "../model/cluster-facts.ts";

/** What one mesh configuration says, of what matters here. */
export interface MeshConfig {
  /** `istio` or `istio-<revision>` */
  readonly name: string;
  readonly outboundTrafficPolicy: string;
  /** Addresses of its sources; empty means the cluster itself. */
  readonly configSources: readonly string[];
  readonly discoverySelectors: readonly Selector[];
  readonly interceptionMode: string;
  readonly capturesDns: boolean;
  readonly isDualStack: boolean;
  /** Where entries without `exportTo` are seen. */
  readonly defaultExportTo: readonly string[];
  readonly rootNamespace: string | undefined;
}

/** A label selector of Kubernetes. */
export interface Selector {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: string;
    readonly values?: readonly string[];
  }[];
}

/**
 * Every revision's mesh configuration, with Istio's defaults for what it does not say.
 *
 * @throws When one cannot be parsed.
 * @see istio.io/api mesh/v1alpha1/config.proto
 */
export function readMeshConfigs({ mesh }: IstioFacts): readonly MeshConfig[] {
  return [...mesh].map(([name, text]) => {
    const fields = objectOf(parseText(name, text));
    const defaults = objectOf(fields.defaultConfig);
    const metadata = objectOf(defaults.proxyMetadata);
    const policy = objectOf(fields.outboundTrafficPolicy).mode;
    return {
      name,
      outboundTrafficPolicy: typeof policy === "string" ? policy : "ALLOW_ANY",
      configSources: listOf(fields.configSources).map((one) => String(objectOf(one).address)),
      discoverySelectors: listOf(fields.discoverySelectors).map((one) => objectOf(one) as Selector),
      interceptionMode: String(defaults.interceptionMode ?? "REDIRECT"),
      capturesDns: String(metadata.ISTIO_META_DNS_CAPTURE) === "true",
      isDualStack: String(metadata.ISTIO_DUAL_STACK) === "true",
      defaultExportTo: listOf(fields.defaultServiceExportTo).map(String),
      rootNamespace: typeof fields.rootNamespace === "string" ? fields.rootNamespace : undefined,
    };
  });
}

function parseText(name: string, text: string): unknown {
  // Its messages would show the place over several lines.
  const document = parseDocument(text, { prettyErrors: false });
  const [error] = document.errors;
  if (error !== undefined) throw new Error(`Cannot read Istio's ConfigMap ${name}: ${error.message}`);
  return document.toJS();
}

/**
 * Whether labels suit any of the selectors; none at all suit everything.
 *
 * @see istio/istio pkg/kube/namespace/filter.go
 */
export function isSelected(selectors: readonly Selector[], labels: Readonly<Record<string, string>>): boolean {
  return selectors.length === 0 || selectors.some((selector) => suits(selector, labels));
}

function suits({ matchLabels, matchExpressions }: Selector, labels: Readonly<Record<string, string>>): boolean {
  return (
    Object.entries(objectOf(matchLabels)).every(([key, value]) => labels[key] === value) &&
    listOf(matchExpressions).every((one) => {
      const { key, operator, values } = objectOf(one);
      const label = labels[String(key)];
      const isListed = label !== undefined && listOf(values).includes(label);
      if (operator === "In") return isListed;
      if (operator === "NotIn") return !isListed;
      return operator === "Exists" ? label !== undefined : label === undefined;
    })
  );
}

/** Which addresses an injector makes sidecars take. */
export interface InjectorRanges {
  /** ConfigMap `istio-sidecar-injector` or `istio-sidecar-injector-<revision>`. */
  readonly name: string;
  readonly include: string;
  readonly exclude: string;
  readonly excludePorts: string;
}

/**
 * What the injectors give to pods that say nothing themselves.
 *
 * @throws When one cannot be parsed.
 * @see istio/istio manifests/charts/istio-control/istio-discovery/files/injection-template.yaml
 */
export function readInjectors({ injectors }: IstioFacts): readonly InjectorRanges[] {
  return [...injectors].map(([name, text]) => {
    const proxy = objectOf(objectOf(objectOf(parseText(name, text)).global).proxy);
    return {
      name,
      include: String(proxy.includeIPRanges ?? "*"),
      exclude: String(proxy.excludeIPRanges ?? ""),
      excludePorts: String(proxy.excludeOutboundPorts ?? ""),
    };
  });
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
