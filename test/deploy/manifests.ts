import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { parse, parseAllDocuments } from "yaml";
import type { Kube } from "../servers/kube.ts";

/** One object of a manifest; what a test looks at deeper inside, it knows by kind. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
}

/** A Role or ClusterRole. */
export interface Role extends Manifest {
  readonly rules: readonly {
    readonly apiGroups: readonly string[];
    readonly resources: readonly string[];
    readonly resourceNames?: readonly string[];
    readonly verbs: readonly string[];
  }[];
}

/** The ConfigMap with the program's files. */
export interface ConfigFiles extends Manifest {
  readonly data: { readonly "x2istio.yaml": string; readonly "services.yaml": string };
}

/** The parts of the Deployment that a test looks at. */
export interface Deployment extends Manifest {
  readonly spec: {
    readonly template: {
      readonly metadata: object;
      readonly spec: {
        readonly securityContext: { readonly runAsUser: number };
        readonly containers: readonly {
          readonly name: string;
          readonly image: string;
          readonly args: readonly string[];
          readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
        }[];
      };
    };
  };
}

export const KUSTOMIZE = new URL("../../deploy/kustomize/", import.meta.url);

/** The objects that a kustomization lists, as they stand in its files, in order. */
export async function readManifests(name: string): Promise<readonly Manifest[]> {
  const dir = new URL(`${name}/`, KUSTOMIZE);
  const text = (file: string) => readFile(new URL(file, dir), "utf8");
  const { resources } = parse(await text("kustomization.yaml")) as { readonly resources: readonly string[] };
  const texts = await Promise.all(resources.map(text));
  return texts.flatMap(parseManifests);
}

function parseManifests(text: string): readonly Manifest[] {
  return parseAllDocuments(text).map((document) => document.toJS() as Manifest);
}

const run = promisify(execFile);

/** The objects of a kustomization as kubectl renders them. Needs `findKubectl()`. */
export async function render(name: string): Promise<readonly Manifest[]> {
  const { stdout } = await run("kubectl", ["kustomize", fileURLToPath(new URL(`${name}/`, KUSTOMIZE))]);
  return parseManifests(stdout);
}

/** What `namespace:` in a kustomization does, for namespaced kinds. */
export function inNamespace(manifest: Manifest, namespace: string): Manifest {
  return { ...manifest, metadata: { ...manifest.metadata, namespace } };
}

/** The only object of a kind and, if given, a name. */
export function pick<Kind extends Manifest>(manifests: readonly Manifest[], kind: string, name?: string): Kind {
  const found = manifests.filter((one) => one.kind === kind && (name === undefined || one.metadata.name === name));
  const [only] = found;
  if (only === undefined || found.length > 1) throw new Error(`${found.length} objects of kind ${kind} ${name ?? ""}`);
  return only as Kind;
}

/**
 * Server-side apply by the administrator; fields unknown to the API server are errors.
 *
 * @throws When it is refused.
 */
export async function apply(kube: Kube, manifest: Manifest, { dryRun = false } = {}): Promise<void> {
  const { kind, metadata } = manifest;
  const query = `fieldManager=test&force=true&fieldValidation=Strict${dryRun ? "&dryRun=All" : ""}`;
  const { status, body } = await kube.request("PATCH", `${pathOf(manifest)}?${query}`, manifest, {
    contentType: "application/apply-patch+yaml",
  });
  if (status >= 300) throw new Error(`Cannot apply ${kind} ${metadata.name}: ${status} ${JSON.stringify(body)}`);
}

function pathOf({ apiVersion, kind, metadata: { name, namespace } }: Manifest): string {
  const base = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const plural = kind.endsWith("y") ? `${kind.slice(0, -1)}ies` : `${kind}s`;
  return `${base}${namespace === undefined ? "" : `/namespaces/${namespace}`}/${plural.toLowerCase()}/${name}`;
}
