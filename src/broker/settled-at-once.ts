/** Consuming without acknowledgements (`noAck`), for brokers that have no such thing: what is delivered is acknowledged behind it. */
import type { ConsumeParams, Delivery } from './broker.ts';

export function settledAtOnce(params: ConsumeParams, ack: (delivery: Delivery) => Promise<unknown>): ConsumeParams {
  if (params.noAck !== true) return params;
  const onDelivery = (delivery: Delivery): void => {
    params.onDelivery(delivery);
    ack(delivery).catch(() => {
      // It comes again.
    });
  };
  return { ...params, onDelivery };
}
