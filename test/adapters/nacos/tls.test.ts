import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import * as grpc from "@grpc/grpc-js";
import { describeError } from "../../../src/errors.ts";
import { addresses, read, registryAt } from "./registry.ts";
import { stubFor } from "./stub.ts";

/** Of polaris.internal, good for a hundred years, its own authority; and another that signed nothing. */
const pem = (name: string) => join(import.meta.dirname, "../polaris/tls", `${name}.pem`);

test("gRPC goes by TLS where the option says so: the server is known by its authority and name", async (t) => {
  const [cert, key] = [await readFile(pem("cert")), await readFile(pem("key"))];
  const credentials = grpc.ServerCredentials.createSsl(null, [{ cert_chain: cert, private_key: key }]);
  const stub = await stubFor(t, credentials);
  stub.services.set("DEFAULT_GROUP@@orders", [{ ip: "192.0.2.1" }]);
  const good = registryAt(t, stub, { tls: { ca: pem("cert"), serverName: "polaris.internal" } });
  assert.deepEqual(addresses(await read(good), "orders"), ["192.0.2.1"]);
  for (const tls of [{ ca: pem("other"), serverName: "polaris.internal" }, { ca: pem("cert") }, {}, undefined])
    await assert.rejects(read(registryAt(t, stub, { tls })), (error: Error & { failure?: string }) => {
      assert.equal(error.failure, "connection", describeError(error));
      return true;
    });
});

test("who has no Nacos does not load its transport", async () => {
  const script = `
    import { createRequire } from "node:module";
    const { adapters } = await import(${JSON.stringify(join(import.meta.dirname, "../../../adapters/adapters.ts"))});
    const loaded = Object.keys(createRequire(import.meta.url).cache).filter((path) => path.includes("@grpc"));
    process.stdout.write(JSON.stringify([Object.keys(adapters).includes("nacos"), loaded]));`;
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script]);
  assert.deepEqual(JSON.parse(stdout), [true, []]);
});
