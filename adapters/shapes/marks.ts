type Meta = Readonly<Record<string, string>>;

/** A bridge that registers for others, and how its instances are known. */
interface Mark {
  readonly has: (meta: Meta) => boolean;
  /** Reads on from "out". */
  readonly reason: string;
}

const POLARIS_CONTROLLER = "polaris-controller";

/** Where several bridges write into one registry, each one's marks are read in all of them. */
const MARKS: readonly Mark[] = [
  {
    // Catalog sync, and the endpoints controller (hashicorp/consul-k8s).
    has: (meta) =>
      meta["external-source"] === "kubernetes" ||
      meta["managed-by"]?.startsWith("consul-k8s") === true ||
      Object.keys(meta).some((key) => key.startsWith("external-k8s-")),
    reason: "registered from Kubernetes by consul-k8s",
  },
  {
    // A VM's client may state a cluster's name too: only with the controller's own mark it is a pod (polarismesh/polaris-controller).
    has: (meta) =>
      (Object.hasOwn(meta, "clusterName") && meta.source === POLARIS_CONTROLLER) ||
      meta.platform === POLARIS_CONTROLLER,
    reason: "registered from Kubernetes by polaris-controller",
  },
  {
    has: (meta) => Object.hasOwn(meta, "x2istio-owner") || meta["external-source"] === "x2istio",
    reason: "registered by an x2istio: its address leads into a mesh",
  },
];

/** Why an instance is none of this registry's own: a bridge registered it, and the mesh would loop into itself. */
export function bridgeMark(...metas: readonly Meta[]): string | undefined {
  return MARKS.find(({ has }) => metas.some(has))?.reason;
}
