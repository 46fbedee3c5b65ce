/** The ups and downs of the broker in the log. */
import t from 'tap';
import { brokerComponent } from '../../src/node/broker-component.ts';
import { Recorder, RecordingBroker } from '../consumer/doubles.ts';
import { RecordingLog } from '../driver/recording-log.ts';

t.test('the server it is connected with is named, and not all that there are', async (t) => {
  const broker = new RecordingBroker(new Recorder());
  const log = new RecordingLog();
  brokerComponent({ broker, log, purge: [], onGivenUp: () => t.fail('it is not given up') });
  broker.enter('lost');
  broker.enter('connected');
  t.match(log.lines, [
    { level: 'warning', event: 'broker.lost' },
    { level: 'info', event: 'broker.connected', message: 'Connected to recording://here' },
  ]);
});
