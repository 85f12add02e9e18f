import assert from "node:assert/strict";
import { test } from "node:test";
import type { ServiceEntrySpec } from "../../src/model/objects.ts";
import { startConsul } from "../servers/consul.ts";
import { startMesh } from "./mesh.ts";
import { ownNetwork } from "./network.ts";

const skip = await ownNetwork();
/** By each way to each port. */
const CALLS = 30;

/** Programs with several ports, each of which they register by one name, told apart by tags. */
const PROGRAMS = [
  { service: "nomad", hosts: ["192.0.2.31", "192.0.2.32", "192.0.2.33"], ports: { http: 4646, rpc: 4647, serf: 4648 } },
  { service: "rabbitmq", hosts: ["192.0.2.41", "192.0.2.42"], ports: { amqp: 5672, management: 15672 } },
  { service: "etcd", hosts: ["192.0.2.51"], ports: { client: 2379, peer: 2380 } },
] as const;
const HTTP = ["http", "management"];

test("no call reaches another port than was asked for, of programs that register each by one name", {
  skip,
}, async (t) => {
  const consul = await startConsul({ config: { limits: { http_max_conns_per_client: 200 } } });
  t.after(() => consul.stop());
  const instances = PROGRAMS.flatMap(({ service, hosts, ports }) =>
    hosts.flatMap((address) =>
      Object.entries(ports).map(([tag, port]) => {
        const meta = HTTP.includes(tag) ? { [`protocol_${tag}`]: "http" } : {};
        return { service, id: `${service}-${tag}-${address}`, address, port, tags: [tag, "prod"], meta };
      }),
    ),
  );
  for (const instance of instances) await consul.register(instance);
  const mesh = await startMesh(t, {
    sections: {
      registries: [
        { kind: "consul", name: "dc1", address: consul.address, legacyNames: ["{service}.corp.example.com"] },
      ],
      aliases: [{ registry: "dc1", service: "*", as: "{service}", in: "shop" }],
    },
  });
  await mesh.backends(
    ...PROGRAMS.flatMap(({ service, hosts, ports }) =>
      hosts.flatMap((address) =>
        Object.entries(ports).map(([tag, port]) => ({
          protocol: HTTP.includes(tag) ? ("http" as const) : ("tcp" as const),
          who: `${service} ${tag}`,
          address,
          port,
        })),
      ),
    ),
  );
  const web = await mesh.withSidecar("web");
  for (const { service, ports } of PROGRAMS) {
    const entry = await mesh.entry(`${service}.default.dc1.mesh.internal`);
    const { ports: written } = entry as typeof entry & Pick<ServiceEntrySpec, "ports">;
    assert.deepEqual(
      written.map(({ name, number }) => [name.replace(/^(http|tcp)-/, ""), number]).sort(),
      Object.entries(ports).sort(),
    );
    const [vip = ""] = entry.addresses ?? [];
    for (const host of [vip, service, `${service}.corp.example.com`])
      for (const [tag, port] of Object.entries(ports))
        await t.test(`${host}:${port}`, async () => {
          const call = HTTP.includes(tag)
            ? ({ kind: "http", url: `http://${host}:${port}`, count: CALLS } as const)
            : ({ kind: "tcp", host, port, count: CALLS } as const);
          await mesh.becomes({ [`${service} ${tag}`]: 1 }, () => web.tally({ ...call, count: 1 }));
          assert.deepEqual(await web.tally(call), { [`${service} ${tag}`]: CALLS });
        });
  }
});
