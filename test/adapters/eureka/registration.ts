/** An instance to register; all else is as Spring's clients write it. */
export interface EurekaInstance {
  readonly app: string;
  readonly address: string;
  readonly port?: number;
  /** Further fields of the instance, or others instead. */
  readonly fields?: Readonly<Record<string, unknown>>;
}

/** What a client of Spring Cloud sends. */
export function registration({ app, address, port = 8080, fields = {} }: EurekaInstance) {
  return {
    instanceId: `${address}:${app}:${port}`,
    hostName: address,
    app: app.toUpperCase(),
    ipAddr: address,
    status: "UP",
    port: { $: port, "@enabled": "true" },
    securePort: { $: 443, "@enabled": "false" },
    countryId: 1,
    dataCenterInfo: { "@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo", name: "MyOwn" },
    metadata: { "management.port": `${port}` } as Record<string, string>,
    vipAddress: app,
    secureVipAddress: app,
    ...fields,
  };
}
