import assert from "node:assert/strict";
import { test } from "node:test";
import { adapters } from "../../adapters/adapters.ts";
import { parseConfig } from "../../src/config/parse.ts";
import { warningsOf } from "../../src/config/warnings.ts";

const FAR = "http://registry.example.org:8500";

for (const { name, registry, want } of [
  { name: "a token", registry: { kind: "consul", address: FAR, token: "a-token" }, want: [FAR] },
  { name: "a token in a file", registry: { kind: "consul", address: FAR, tokenFile: "token" }, want: [FAR] },
  {
    name: "a password",
    registry: { kind: "consul", address: FAR, basicAuth: { username: "a", passwordFile: "b" } },
    want: [FAR],
  },
  {
    name: "a token for the servers of a Polaris of which one is here",
    registry: { kind: "polaris", address: [FAR, "http://127.0.0.1:8090", "https://a.example.org"], token: "a-token" },
    want: [FAR],
  },
  {
    name: "a token in a module's options",
    registry: { kind: "module", path: "a.js", options: { url: FAR, apiKey: "a-key" } },
    want: [FAR],
  },
  { name: "no token", registry: { kind: "consul", address: FAR }, want: [] },
  { name: "HTTPS", registry: { kind: "consul", address: "https://a.example.org:8501", token: "a-token" }, want: [] },
  { name: "a socket", registry: { kind: "consul", address: "unix:///run/a.sock", token: "a-token" }, want: [] },
  ...["127.0.0.1", "127.8.8.8", "localhost", "[::1]"].map((host) => ({
    name: host,
    registry: { kind: "consul", address: `http://${host}:8500`, token: "a-token" },
    want: [],
  })),
  {
    name: "a host whose name begins like a loopback address",
    registry: { kind: "consul", address: "http://127.example.org", token: "a-token" },
    want: ["http://127.example.org"],
  },
])
  test(`warningsOf() a configuration with ${name}`, () => {
    const text = JSON.stringify({ owner: "east", registries: [{ name: "dc1", ...registry }] });
    const warnings = warningsOf(parseConfig(text, "x2istio.yaml", { env: {}, adapters }));
    assert.deepEqual(
      warnings.map((one) => `${one.registry}: ${one.message}`),
      want.map(
        (at) =>
          `dc1: its token or password goes to ${at} unencrypted, so that everyone on the way can read it: use https://`,
      ),
    );
  });
