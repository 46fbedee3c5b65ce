import t from 'tap';
import { MemoryBroker } from '../../../src/broker/memory/memory-broker.ts';
import { MemoryHub } from '../../../src/broker/memory/memory-hub.ts';
import { brokerConformance } from '../conformance.ts';

brokerConformance(t, {
  name: 'memory',
  open: async () => {
    const hub = new MemoryHub();
    return {
      create: async () => new MemoryBroker({ hub }),
      createDoomed: async () => {
        const broker = new MemoryBroker({ hub });
        await broker.start();
        // Nothing in one memory dies alone: a crash is a stop.
        return { broker, crash: () => broker.stop() };
      },
      putGarbage: async () => false,
      close: async () => {},
    };
  },
});
