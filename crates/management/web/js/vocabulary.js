/** Owns the names that forms offer: arguments and policy keys, their kinds, and what they mean. */

/** Arguments of queues: `[name, kind, meaning]`; a kind is a word or the words to choose from. */
export const QUEUE_ARGUMENTS = [
  ['x-message-ttl', 'number', 'How long a message may wait, in milliseconds'],
  ['x-expires', 'number', 'Delete the queue when unused for so many milliseconds'],
  ['x-max-length', 'number', 'How many messages it holds at most'],
  ['x-max-length-bytes', 'number', 'How many bytes of ready messages it holds at most'],
  [
    'x-overflow',
    ['drop-head', 'reject-publish', 'reject-publish-dlx'],
    'What happens when it is full',
  ],
  ['x-dead-letter-exchange', 'text', 'Where refused, expired and dropped messages go'],
  ['x-dead-letter-routing-key', 'text', 'Their routing key there; else the one they had'],
  [
    'x-dead-letter-strategy',
    ['at-most-once', 'at-least-once'],
    'Quorum queues: how safely they go',
  ],
  ['x-delivery-limit', 'number', 'Returns until a message is dead-lettered'],
  ['x-max-priority', 'number', 'Priorities from 0 to this, 255 at most'],
  ['x-single-active-consumer', 'boolean', 'One consumer at a time is served'],
  ['x-consumer-timeout', 'number', 'How long a delivery may stay unacknowledged, in milliseconds'],
  ['x-delayed-retry-type', ['all', 'failed', 'returned', 'disabled'], 'Which returns rest first'],
  ['x-delayed-retry-min', 'number', 'The rest after the first return, in milliseconds'],
  ['x-delayed-retry-max', 'number', 'The longest rest, in milliseconds'],
  ['x-delayed-retry-backoff', ['linear', 'fixed', 'exponential'], 'How the rest grows'],
  ['x-delayed-retry-jitter', 'number', 'By how many per cent a rest may be shorter'],
  ['x-message-group-header', 'text', "The header that names a message's group"],
  ['x-message-deduplication', 'boolean', 'Recognise a message that is published again'],
  ['x-cache-size', 'number', 'How many messages deduplication remembers'],
  ['x-cache-ttl', 'number', 'For how long, in milliseconds'],
  ['x-queue-mode', ['default', 'lazy'], 'Accepted for older programs; no effect'],
  ['x-queue-version', 'number', 'Accepted for older programs; no effect'],
];

/** Arguments of exchanges. */
export const EXCHANGE_ARGUMENTS = [
  ['alternate-exchange', 'text', 'Where messages go that no binding takes'],
  [
    'x-delayed-type',
    ['direct', 'fanout', 'topic', 'headers'],
    'How a delayed-message exchange routes',
  ],
  ['hash-header', 'text', 'Consistent hash: the header that is hashed'],
  ['x-message-deduplication', 'boolean', 'Recognise a message that is published again'],
  ['x-cache-size', 'number', 'How many messages deduplication remembers'],
  ['x-cache-ttl', 'number', 'For how long, in milliseconds'],
];

const named = (name) => QUEUE_ARGUMENTS.find((one) => one[0] === `x-${name}`);
const key = (name) => [name, named(name)[1], named(name)[2]];

/** Keys of policies. */
export const POLICY_KEYS = [
  ...[
    'message-ttl',
    'expires',
    'max-length',
    'max-length-bytes',
    'overflow',
    'dead-letter-exchange',
    'dead-letter-routing-key',
    'dead-letter-strategy',
    'delivery-limit',
    'consumer-timeout',
    'delayed-retry-type',
    'delayed-retry-min',
    'delayed-retry-max',
    'delayed-retry-backoff',
    'delayed-retry-jitter',
  ].map(key),
  ['alternate-exchange', 'text', 'Exchanges: where messages go that no binding takes'],
  ...['x-message-deduplication', 'x-cache-size', 'x-cache-ttl'].map((name) =>
    QUEUE_ARGUMENTS.find((one) => one[0] === name),
  ),
  ...['queue-mode', 'queue-version'].map(key),
];

/** Keys of operator policies, which only ever tighten. */
export const OPERATOR_KEYS = [
  'message-ttl',
  'expires',
  'max-length',
  'max-length-bytes',
  'overflow',
  'delivery-limit',
  'delayed-retry-type',
  'delayed-retry-min',
  'delayed-retry-max',
].map(key);

/** What a policy may apply to. */
export const APPLY_TO = [
  'all',
  'queues',
  'exchanges',
  'classic_queues',
  'quorum_queues',
  'streams',
];

/** Types of exchanges, until the broker has told its own. */
export const EXCHANGE_TYPES = [
  'direct',
  'fanout',
  'topic',
  'headers',
  'x-consistent-hash',
  'x-delayed-message',
  'x-message-deduplication',
];

/** Tags of users, with what they allow. */
export const TAGS = [
  ['administrator', 'everything'],
  ['monitoring', 'sees all connections, nodes and logs'],
  ['policymaker', 'edits policies of the virtual hosts it may enter'],
  ['management', 'may use these pages'],
  ['impersonator', "may publish in another user's name"],
];

/** Why a message was dead-lettered, in words. */
export const REASONS = {
  rejected: 'refused by a consumer',
  expired: 'waited too long',
  maxlen: 'its queue was full',
  delivery_limit: 'returned too often',
};

/** The properties of messages, as the API names them. */
export const PROPERTIES = [
  'content_type',
  'content_encoding',
  'delivery_mode',
  'priority',
  'correlation_id',
  'reply_to',
  'expiration',
  'message_id',
  'timestamp',
  'type',
  'user_id',
  'app_id',
];
