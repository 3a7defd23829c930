// What the chain says about one receipt: from a node of the visitor's choice, or from this explorer's index. It
// judges nothing; receipt.js does, whose address the page gives, so that it is the one of the same version.
const core = new URL(import.meta.url).searchParams.get("core") ?? "./receipt.js";
const { Malformed, bytesOf, keccak, payingOf, readFacts, structHash, utf8 } = await import(core);

const EVENTS = {
  ChannelOpened: "ChannelOpened(bytes32,address,address,address,uint24,uint96)",
  Settled: "Settled(bytes32,uint96,bytes32)",
  ChannelClosed: "ChannelClosed(bytes32,uint96,uint96)",
  OfferPosted: "OfferPosted(address,uint64,bytes32,(address,uint64,string,bytes32,string,bytes32,uint64,uint64,uint64,uint32,uint128,uint64))",
  OffersWithdrawn: "OffersWithdrawn(address,uint64)",
  ReceiptKeySet: "ReceiptKeySet(address,address)",
};
export const topicOf = (name) => keccak(utf8(EVENTS[name]));
const PATIENCE_MS = 20_000;
const OFFER = ["address provider", "uint sequence", "string endpoint", "bytes32 endpointKey", "string model", "bytes32 modelHash",
  "uint inputPrice", "uint cachedInputPrice", "uint outputPrice", "uint contextLength", "uint credit", "uint validUntil"];

export class Unanswered extends Error {}

const asked = async (url, body) => {
  try {
    const options = body === undefined ? {} : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
    const answer = await fetch(url, { ...options, credentials: "omit", referrerPolicy: "no-referrer", signal: AbortSignal.timeout(PATIENCE_MS) });
    return [answer.status, await answer.json()];
  } catch {
    throw new Unanswered(`${new URL(url, globalThis.location?.href).host} does not answer, or not so that a page may read it.`);
  }
};

// From the explorer's index.
export const factsOfExplorer = async ({ receipt, acknowledgement }, base = "") => {
  const query = new URLSearchParams({ offer: receipt.offerHash, cumulative: String(receipt.cumulativeCost) });
  if (acknowledgement) query.set("acknowledgement", structHash("Acknowledgement", acknowledgement));
  const [status, data] = await asked(`${base}/api/audit/facts/${receipt.channelId}?${query}`);
  if (status !== 200) throw new Unanswered(data.message ?? `The explorer answers with status ${status}.`);
  return { facts: readFacts(data), block: data.block };
};

// From a node, asked for this receipt's logs and nothing else.
export const factsOfNode = async ({ receipt }, { rpc, market, chainId, fromBlock }) => {
  const node = new Node(rpc, market.toLowerCase(), BigInt(fromBlock));
  const actual = BigInt(await node.call("eth_chainId"));
  if (actual !== BigInt(chainId)) throw new Unanswered(`The node follows chain ${actual}, and not ${chainId}.`);
  const block = BigInt(await node.call("eth_blockNumber"));
  const logs = (name, ...topics) => node.logs(block, [topicOf(name), ...topics]);

  const [opened] = await logs("ChannelOpened", receipt.channelId);
  const [posted] = await logs("OfferPosted", null, null, receipt.offerHash);
  const offer = posted && offerOf(posted.data);
  if (offer && structHash("Offer", offer) !== receipt.offerHash) throw new Malformed("The node tells another offer than the one of that hash.");
  const channel = opened ? channelOf(opened) : null;
  const settlements = await settlementsOf(logs, node, receipt);
  const keys = new Set();
  for (const provider of new Set([channel?.provider, offer?.provider].filter(Boolean))) {
    for (const log of await logs("ReceiptKeySet", topicOfAddress(provider))) keys.add(`${provider} ${addressOf(log.topics[2])}`);
  }
  const offers = new Map();
  if (offer) offers.set(receipt.offerHash, { offer, postedAt: await node.time(posted), withdrawnAt: await withdrawnAt(logs, node, offer) });
  return { facts: { domain: { chainId: actual, market: node.market }, channel, offers, keys, settlements }, block };
};

class Node {
  constructor(rpc, market, fromBlock) {
    Object.assign(this, { rpc, market, fromBlock });
  }

  async call(method, ...params) {
    const [, answer] = await asked(this.rpc, { jsonrpc: "2.0", id: 1, method, params });
    if (answer?.error || answer?.result === undefined || answer.result === null) {
      throw new Refused(String(answer?.error?.message ?? "nothing").slice(0, 200));
    }
    return answer.result;
  }

  // A node that refuses a long stretch of blocks is asked for its halves.
  async logs(to, topics, from = this.fromBlock) {
    const range = { fromBlock: `0x${from.toString(16)}`, toBlock: `0x${to.toString(16)}` };
    try {
      const found = await this.call("eth_getLogs", { address: this.market, topics, ...range });
      // What was not asked for is not taken.
      return found.filter((log) => topics.every((topic, place) => topic === null || log.topics[place]?.toLowerCase() === topic) &&
        log.address.toLowerCase() === this.market);
    } catch (error) {
      if (!(error instanceof Refused) || to - from < 1_000n) throw error;
      const middle = (from + to) / 2n;
      return [...await this.logs(middle, topics, from), ...await this.logs(to, topics, middle + 1n)];
    }
  }

  async time(log) {
    return BigInt((await this.call("eth_getBlockByNumber", log.blockNumber, false)).timestamp);
  }
}

class Refused extends Unanswered {
  constructor(message) {
    super(`The node refuses: ${message}`);
  }
}

const wordsOf = (data) => data.slice(2).match(/.{64}/g) ?? [];
const topicOfAddress = (address) => `0x${address.slice(2).padStart(64, "0")}`;
const addressOf = (topic) => `0x${topic.slice(-40)}`.toLowerCase();
const numberOf = (hex) => BigInt(`0x${hex}`);

const channelOf = ({ topics, data }) => {
  const [sessionKey, epoch] = wordsOf(data);
  const channel = { payer: addressOf(topics[2]), provider: addressOf(topics[3]), sessionKey: addressOf(sessionKey) };
  const ends = [channel.payer, channel.provider, channel.sessionKey].map((end) => end.slice(2).padStart(64, "0"));
  if (keccak(bytesOf(`0x${ends.join("")}${epoch}`)) !== topics[1].toLowerCase()) throw new Malformed("The node tells another channel than the one of that id.");
  return channel;
};

const settlementsOf = async (logs, node, receipt) => {
  const found = [...await logs("Settled", receipt.channelId), ...await logs("ChannelClosed", receipt.channelId)].map((log) => {
    const [settled, hash] = wordsOf(log.data);
    const closing = log.topics[0].toLowerCase() === topicOf("ChannelClosed");
    return {
      settled: numberOf(settled),
      acknowledgementHash: closing ? null : `0x${hash}`,
      block: BigInt(log.blockNumber),
      logIndex: Number(log.logIndex),
      transactionHash: log.transactionHash.toLowerCase(),
      timestamp: 0n,
    };
  });
  found.sort((one, other) => Number(one.block - other.block) || one.logIndex - other.logIndex);
  // A close is a payment where it settles more than was settled before.
  const paid = found.filter((item, place) => item.acknowledgementHash !== null || item.settled > (found[place - 1]?.settled ?? 0n));
  const paying = payingOf(paid, receipt.cumulativeCost);
  if (paying) paying.timestamp = await node.time({ blockNumber: `0x${paying.block.toString(16)}` });
  return paid;
};

const withdrawnAt = async (logs, node, offer) => {
  for (const log of await logs("OffersWithdrawn", topicOfAddress(offer.provider))) {
    if (numberOf(wordsOf(log.data)[0]) > offer.sequence) return node.time(log);
  }
  return null;
};

// The event's one argument, a struct with two strings.
export const offerOf = (data) => {
  const words = wordsOf(data).slice(1);
  const text = (place) => {
    const start = Number(numberOf(words[place])) / 32, size = Number(numberOf(words[start]));
    const bytes = bytesOf(`0x${words.slice(start + 1).join("").slice(0, 2 * size)}`);
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  };
  return Object.fromEntries(OFFER.map((field, place) => {
    const [kind, name] = field.split(" ");
    const value = { address: () => addressOf(words[place]), bytes32: () => `0x${words[place]}`, string: () => text(place), uint: () => numberOf(words[place]) };
    return [name, value[kind]()];
  }));
};
