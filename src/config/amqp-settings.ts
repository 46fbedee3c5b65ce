/** Settings of the broker that matter with RabbitMQ: how to connect, and its keys of `broker_transport_options` and `broker_use_ssl`. */
import { boolean, integer, oneOf, path, seconds, secondsOrNever, text } from './kind.ts';
import { plainTable } from './plain-table.ts';
import { setting } from './setting.ts';
import { field } from './table-kind.ts';

/** Keys of `broker_transport_options`. */
export const amqpTransportFields = {
  confirm_publish: field(
    boolean(),
    'whether a message counts as sent when RabbitMQ has confirmed it, and not when it is written. Default true.',
  ),
  client_properties: field(plainTable(), 'shown with the connection in the management UI; `connection_name` there replaces the node name.'),
  max_retries: field(
    integer({ min: 0 }),
    'with the interval keys: for how long a message waits for RabbitMQ to be back before sending it fails; for tasks task.publish_retry_policy is stronger. Default 3.',
  ),
  interval_start: field(seconds(), 'seconds before the first try. Default 0.'),
  interval_step: field(seconds(), 'added before each further one. Default 0.2.'),
  interval_max: field(seconds(), 'never more than this. Default 1.'),
  // A worker with everything it offers has five to eight on a connection.
  channel_max: field(integer({ min: 16, max: 65_535 }), 'most channels of a connection. Default 2047.'),
  frame_max: field(integer({ min: 4096 }), 'most bytes of a frame. Default 131072.'),
};

const certReqs = oneOf(['required', 'optional', 'none'], {
  aliases: { cert_required: 'required', cert_optional: 'optional', cert_none: 'none' },
});

/** TLS in the words of Python's ssl module, as Celery has them for RabbitMQ. */
export const amqpTlsFields = {
  cert_reqs: field(certReqs, 'the same as ssl_cert_reqs; so are the following without `ssl_`.'),
  ca_certs: field(path(), 'see ssl_ca_certs.'),
  certfile: field(path(), 'see ssl_certfile.'),
  keyfile: field(path(), 'see ssl_keyfile.'),
  server_hostname: field(text(), 'the name to ask for, and to find in the certificate, instead of the host of the URL (RabbitMQ).'),
  ciphers: field(text(), 'the ciphers to offer (RabbitMQ).'),
};

export const amqpBrokerSettings = {
  broker_heartbeat: setting<number | null>({
    kind: secondsOrNever(),
    default: 120,
    defaultText: '120; with `solo` none',
    doc: 'Seconds between signs of life on connections to RabbitMQ, which may want them more often. A connection without any for twice that time is lost and made anew. 0 is none.',
  }),
  broker_login_method: setting<'PLAIN' | 'AMQPLAIN' | 'EXTERNAL'>({
    kind: oneOf(['PLAIN', 'AMQPLAIN', 'EXTERNAL']),
    default: 'PLAIN',
    doc: 'How to log in to RabbitMQ. EXTERNAL takes the user from the certificate of the client; that of the URL is not sent.',
  }),
  broker_park_after_seconds: setting<number>({
    kind: seconds({ above: 0 }),
    default: 600,
    doc: 'Tasks with an ETA further away than this are put into delay queues of RabbitMQ and not held by the worker. It must be well below the consumer timeout of the server (30 minutes unless changed).',
    celeryDiffers: 'Celery holds them, and from 5.5 on has delay queues for quorum queues alone.',
  }),
  broker_native_delayed_delivery_queue_type: setting<'quorum' | 'classic'>({
    kind: oneOf(['quorum', 'classic']),
    default: 'quorum',
    doc: 'Type of the delay queues of Celery 5.5 (`celery_delayed_…`). A worker declares them when one of the queues is a quorum queue and it takes tasks from one on an exchange that is not direct; tasks with a countdown or ETA for such exchanges then wait there. All workers must agree on it.',
  }),
  worker_detect_quorum_queues: setting<boolean>({
    kind: boolean(),
    default: true,
    doc: 'Count the prefetch per queue as soon as one of the declared queues is a quorum queue, which RabbitMQ wants. When false, its refusal says so, which costs a connection.',
    celeryDiffers: 'In Celery a worker with false does not get over that refusal.',
  }),
} as const;
