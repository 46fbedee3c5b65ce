/**
 * What every broker must do, run over each of them: the meaning of the contract in src/broker/broker.ts, one suite for each side of it.
 */
import type { Test } from 'tap';
import { BrokerBench, type BrokerConformanceParams, type Suite } from './conformance/broker-bench.ts';
import { delaySuite } from './conformance/delay-suite.ts';
import { deliverySuite } from './conformance/delivery-suite.ts';
import { flowSuite } from './conformance/flow-suite.ts';
import { lifeSuite } from './conformance/life-suite.ts';
import { operatorSuite } from './conformance/operator-suite.ts';
import { queueSuite } from './conformance/queue-suite.ts';
import { routingSuite } from './conformance/routing-suite.ts';
import { settlementSuite } from './conformance/settlement-suite.ts';

const suites: readonly Suite[] = [
  deliverySuite,
  settlementSuite,
  flowSuite,
  delaySuite,
  queueSuite,
  routingSuite,
  lifeSuite,
  operatorSuite,
];

export function brokerConformance(t: Test, params: BrokerConformanceParams): void {
  const test = (title: string, body: (t: Test, bench: BrokerBench) => Promise<void>): void => {
    t.test(`${params.name}: ${title}`, async (t) => {
      const bench = await BrokerBench.open(params);
      try {
        await body(t, bench);
      } finally {
        await bench.close();
      }
    });
  };
  for (const suite of suites) suite(test);
}
