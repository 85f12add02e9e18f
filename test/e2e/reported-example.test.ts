import assert from "node:assert/strict";
import { cp, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { freePorts, ready, startReplica } from "./cli.ts";
import { dnsQuery } from "./dns.ts";
import { tempDir } from "./fixture.ts";

const EXAMPLE = fileURLToPath(new URL("../../deploy/examples/reported/", import.meta.url));

test("the example of services on demand does what its README says", async (t) => {
  const dir = await tempDir(t);
  await cp(EXAMPLE, dir, { recursive: true });
  const ports = await freePorts();
  const config = join(dir, "x2istio.yaml");
  const text = await readFile(config, "utf8");
  await writeFile(config, text.replace(":5353", `:${ports.dns}`).replace(":8080", `:${ports.http}`));
  await writeFile(join(dir, "token"), "0123abcd\n");
  const replica = startReplica(t, { config, ports });
  await ready(replica);
  const written = async () =>
    (await readdir(join(dir, "out/mesh-services")).catch(() => [])).filter((name) => !/vips/.test(name));
  assert.deepEqual(await written(), []);

  const readme = await readFile(join(dir, "README.md"), "utf8");
  const bodies = [...readme.matchAll(/-d '(\{.*\})'/g)].map(([, body = ""]) => body);
  const answers: (readonly [number, { readonly state: string; readonly nearest?: string[] }])[] = [];
  for (const body of bodies) {
    const headers = { "content-type": "application/json", authorization: "Bearer 0123abcd" };
    const answer = await fetch(`${replica.http}/api/reports`, { method: "POST", headers, body });
    answers.push([
      answer.status,
      (await answer.json()) as { readonly state: string; readonly nearest?: string[] },
    ] as const);
  }
  assert.deepEqual(
    answers.map(([status, { state }]) => [status, state]),
    [
      [200, "ready"],
      [200, "ready"],
      [404, "unknown"],
    ],
  );
  assert.deepEqual(answers[2]?.[1].nearest, ["payments.corp.example.com"]);
  const [, name = ""] = /-p 5353 (\S+)/.exec(readme) ?? [];
  const { rcode, addresses } = await dnsQuery(ports.dns, name);
  assert.deepEqual([rcode, addresses.length], [0, 1]);
  assert.deepEqual(
    await written(),
    ["orders", "payments", "stock"].map((one) => `${one}.shop.vms.mesh.internal.yaml`),
  );
});
