import { mkdtemp, rm, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { AdapterWorld } from "../../../src/testing/testing.ts";
import { adapterContract } from "../../../src/testing/testing.ts";
import { adapterIn } from "./fixture.ts";

/** One service of the file: a line of its own that stays where it is, as a service's `source` names its line. */
interface Line {
  readonly endpoints: Map<string, boolean>;
  isThere: boolean;
  isBroken: boolean;
}

async function start(): Promise<AdapterWorld> {
  const dir = await mkdtemp(join(tmpdir(), "x2istio-contract-"));
  const file = join(dir, "services.yaml");
  const lines = new Map<string, Line>();
  const lineOf = (name: string): Line => {
    const line = lines.get(name);
    if (line === undefined) throw new Error(`There is no service ${name}`);
    return line;
  };
  const write = () => writeFile(file, textOf(lines));
  await write();
  return {
    adapter: adapterIn(dir),
    async addService(name, addresses) {
      lines.set(name, { endpoints: new Map(addresses.map((one) => [one, true])), isThere: true, isBroken: false });
      await write();
    },
    async removeService(name) {
      lineOf(name).isThere = false;
      await write();
    },
    async addEndpoint(service, address) {
      lineOf(service).endpoints.set(address, true);
      await write();
    },
    async removeEndpoint(service, address) {
      lineOf(service).endpoints.delete(address);
      await write();
    },
    async breakList() {
      await unlink(file);
      return write;
    },
    async breakService(name) {
      lineOf(name).isBroken = true;
      await write();
      return async () => {
        lineOf(name).isBroken = false;
        await write();
      };
    },
    async setHealthy(service, address, healthy) {
      lineOf(service).endpoints.set(address, healthy);
      await write();
    },
    close: () => rm(dir, { recursive: true }),
  };
}

function textOf(lines: ReadonlyMap<string, Line>): string {
  const rows = [...lines].map(([name, { endpoints, isThere, isBroken }]) => {
    const list = [...endpoints].map(([address, enabled]) => `{address: ${address}, enabled: ${enabled}}`);
    const number = isBroken ? 0 : 80;
    const item = `- {name: ${name}, ports: [{name: http, number: ${number}, protocol: http}], endpoints: [${list.join(", ")}]}`;
    return isThere ? item : `# ${item}`;
  });
  return [...lines.values()].some(({ isThere }) => isThere) ? ["services:", ...rows, ""].join("\n") : "services: []\n";
}

adapterContract("static", { start });
