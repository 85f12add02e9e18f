import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { parse, parseAllDocuments } from "yaml";
import type { FileService } from "../e2e/fixture.ts";
import type { Backend } from "./backends.ts";
import type { Manifest } from "./manifests.ts";

const EXAMPLES = join(import.meta.dirname, "../../deploy/examples");

/** A folder of deploy/examples: what `startMesh` needs to run it. */
export interface Example {
  /** Of its services.yaml. */
  readonly services: readonly FileService[];
  /** Its x2istio.yaml. */
  readonly sections: Readonly<Record<string, unknown>>;
  /** Of all its other YAML files, in the order of their names. */
  readonly manifests: readonly Manifest[];
}

/** Read an example as a user finds it. */
export async function readExample(name: string): Promise<Example> {
  const dir = join(EXAMPLES, name);
  const read = (file: string) => readFile(join(dir, file), "utf8");
  const files = (await readdir(dir)).filter((file) => file.endsWith(".yaml")).sort();
  const objects = files.filter((file) => file !== "x2istio.yaml" && file !== "services.yaml");
  const documents = await Promise.all(objects.map(async (file) => parseAllDocuments(await read(file))));
  return {
    services: (parse(await read("services.yaml")) as { readonly services: readonly FileService[] }).services,
    sections: parse(await read("x2istio.yaml")) as Example["sections"],
    manifests: documents.flat().map((document) => document.toJS() as Manifest),
  };
}

/** The service of this name. */
export function serviceNamed({ services }: Pick<Example, "services">, name: string): FileService {
  const found = services.find((service) => service.name === name);
  if (found === undefined) throw new Error(`Cannot find service ${name} among ${services.map((one) => one.name)}`);
  return found;
}

/** A server for every port of every endpoint, which answers `<service>/<port>@<address>`. */
export function backendsOf(...services: readonly FileService[]): readonly Backend[] {
  return services.flatMap(({ name, ports, endpoints }) =>
    (ports as readonly FilePort[]).flatMap((port) =>
      (endpoints as readonly FileEndpoint[]).map((endpoint) => ({
        protocol: port.protocol === "http" || port.protocol === "grpc" ? port.protocol : "tcp",
        who: `${name}/${port.name}@${endpoint.address}`,
        address: endpoint.address,
        port: endpoint.ports?.[port.name] ?? port.number,
      })),
    ),
  );
}

interface FilePort {
  readonly name: string;
  readonly number: number;
  readonly protocol: string;
}

interface FileEndpoint {
  readonly address: string;
  readonly ports?: Readonly<Record<string, number>>;
}
