import { encodeExposition } from "../base/exposition.ts";
import { messageOf } from "../base/errors.ts";
import { type InstanceFigures, instanceFiguresSchema } from "../instance/index.ts";
import type { Logger, RpcClient } from "../io/index.ts";
import type { MetricFacts } from "./metrics.ts";
import { metricsOf } from "./metrics.ts";

export interface MetricsDeps {
  readonly logger: Logger;
  /** The lines to the agents, by instance. */
  agents(): ReadonlyMap<string, RpcClient>;
  /** What the control plane knows by itself, or asks for its status. */
  facts(): Promise<Omit<MetricFacts, "instances">>;
}

/** An agent that needs longer is missing this time: Prometheus waits ten seconds for all. */
const answerMs = 1_000;

/** What GET /metrics answers. Nothing is gathered while nobody asks, and once for all who ask at the same time. */
export class Metrics {
  private readonly deps: MetricsDeps;
  private underWay: Promise<string> | undefined;

  constructor(deps: MetricsDeps) {
    this.deps = deps;
  }

  text(): Promise<string> {
    this.underWay ??= this.gather().finally(() => {
      this.underWay = undefined;
    });
    return this.underWay;
  }

  private async gather(): Promise<string> {
    const [facts, instances] = await Promise.all([this.deps.facts(), this.askAgents()]);
    return encodeExposition(metricsOf({ ...facts, instances }));
  }

  private async askAgents(): Promise<ReadonlyMap<string, InstanceFigures>> {
    const { agents, logger } = this.deps;
    const figures = new Map<string, InstanceFigures>();
    await Promise.all(
      [...agents()].map(async ([instance, client]) => {
        try {
          const answer = await client.call("figures", {}, { timeoutMs: answerMs });
          figures.set(instance, instanceFiguresSchema.parse(answer));
        } catch (error) {
          logger.debug({ event: "figures.notTold", instance }, messageOf(error));
        }
      }),
    );
    return figures;
  }
}
