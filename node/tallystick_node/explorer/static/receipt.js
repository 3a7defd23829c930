// Checking a receipt step by step, as tallystick/protocol/audit.py does: tests/vectors/audit.json holds both to
// the same steps and words. It asks nobody and touches no page.
import { recoverPublicKey } from "./vendor/noble-secp256k1/index.js";
import { keccak_256 } from "./vendor/noble-hashes/sha3.js";

export const CLOCKS_APART_S = 60n;
const RECEIPT = "receipt/1", CHANNEL = "channel/1", PROOF_LIMIT = 128, BYTES_LIMIT = 1024;
const HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0n;

const ACKNOWLEDGEMENT = "Acknowledgement(uint64 receiptCount,bytes32 receiptsRoot,bytes32 requestHash,uint64 requestNonce)";
const TYPES = {
  EIP712Domain: "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)",
  Offer: "Offer(address provider,uint64 sequence,string endpoint,bytes32 endpointKey,string model,bytes32 modelHash," +
    "uint64 inputPrice,uint64 cachedInputPrice,uint64 outputPrice,uint32 contextLength,uint128 credit,uint64 validUntil)",
  Receipt: "Receipt(bytes32 channelId,uint64 sequence,bytes32 offerHash,bytes32 requestHash," +
    "bytes32 responseHash,bytes32 tokensHash,uint32 inputTokens,uint32 cachedInputTokens," +
    "uint32 outputTokens,uint8 finish,uint64 receivedAt,uint64 firstTokenAt,uint64 finishedAt," +
    "uint128 cost,uint128 cumulativeCost)",
  Acknowledgement: ACKNOWLEDGEMENT,
  Voucher: `Voucher(bytes32 channelId,uint128 cumulativeAmount,Acknowledgement acknowledgement)${ACKNOWLEDGEMENT}`,
};

// ------------------------------------------------------------------------------------------------ bytes, hashes

export class Malformed extends Error {}

export const bytesOf = (hex) => Uint8Array.from(hex.slice(2).match(/../g) ?? [], (pair) => parseInt(pair, 16));
export const hexOf = (bytes) => `0x${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
export const utf8 = (text) => new TextEncoder().encode(text);
export const keccak = (bytes) => hexOf(keccak_256(bytes));
export const word = (number) => number.toString(16).padStart(64, "0");
const joined = (...hexes) => bytesOf(`0x${hexes.map((hex) => hex.slice(2)).join("")}`);

const fieldsOf = (type) => {
  const text = TYPES[type];
  return text.slice(text.indexOf("(") + 1, text.indexOf(")")).split(",").map((field) => field.split(" "));
};

const encoded = (kind, value) => {
  if (kind === "string") return keccak(utf8(value)).slice(2);
  if (kind === "address" || kind === "bytes32") return value.slice(2).padStart(64, "0");
  return kind in TYPES ? structHash(kind, value).slice(2) : word(value);
};

export const structHash = (type, values) => {
  const words = fieldsOf(type).map(([kind, name]) => encoded(kind, values[name]));
  return keccak(bytesOf(keccak(utf8(TYPES[type])) + words.join("")));
};

export const digest = (domain, hash) => {
  const values = { name: "Tallystick", version: "1", chainId: domain.chainId, verifyingContract: domain.market };
  return keccak(joined("0x1901", structHash("EIP712Domain", values), hash));
};

// Who signed; null where no key can have.
export const recover = (hash, signature) => {
  const bytes = bytesOf(signature);
  let parity;
  if (bytes.length === 65) {
    if (bytes[64] !== 27 && bytes[64] !== 28) return null;
    parity = bytes[64] - 27;
  } else if (bytes.length === 64) {
    parity = bytes[32] >> 7;
    bytes[32] &= 0x7f;
  } else return null;
  if (BigInt(hexOf(bytes.slice(32, 64))) > HALF_ORDER) return null;
  try {
    const recovered = new Uint8Array([parity, ...bytes.slice(0, 64)]);
    const key = recoverPublicKey(recovered, bytesOf(hash), { prehash: false, isCompressed: false });
    return `0x${keccak(key.slice(1)).slice(26)}`;
  } catch {
    return null;
  }
};

const pair = (one, other) => keccak(one < other ? joined(one, other) : joined(other, one));
export const provenRoot = (proof, hash) => proof.reduce(pair, keccak(bytesOf(keccak(bytesOf(hash)))));

// ------------------------------------------------------------------------------------------------ reading

const isObject = (data) => typeof data === "object" && data !== null && !Array.isArray(data);
const own = (data, name) => (Object.hasOwn(data, name) ? data[name] : undefined);

const readers = {
  address: (text) => (/^0x[0-9a-fA-F]{40}$/.test(text) ? text.toLowerCase() : undefined),
  bytes32: (text) => (/^0x[0-9a-fA-F]{64}$/.test(text) ? text.toLowerCase() : undefined),
  bytes: (text) => (/^0x([0-9a-fA-F]{2})*$/.test(text) && text.length <= 2 + 2 * BYTES_LIMIT ? text.toLowerCase() : undefined),
  string: (text) => (/\p{Surrogate}/u.test(text) ? undefined : text),
};
const readUint = (bits, text) => {
  if (!/^(0|[1-9][0-9]{0,77})$/.test(text)) return undefined;
  const value = BigInt(text);
  return value < 1n << BigInt(bits) ? value : undefined;
};

export const readValue = (kind, value, where) => {
  let read;
  if (typeof value === "string") read = readers[kind] ? readers[kind](value) : readUint(Number(kind.slice(4)), value);
  if (read === undefined) throw new Malformed(`${where} is not a ${kind}.`);
  return read;
};

export const readMessage = (type, data) => {
  const fields = fieldsOf(type);
  if (!isObject(data) || Object.keys(data).length !== fields.length) {
    throw new Malformed(`${type} is an object of ${fields.length} fields.`);
  }
  return Object.fromEntries(fields.map(([kind, name]) => {
    if (!Object.hasOwn(data, name)) throw new Malformed(`${type}.${name} is missing.`);
    return [name, readValue(kind, data[name], `${type}.${name}`)];
  }));
};

const readDomain = (data) => ({
  chainId: readValue("uint256", own(data, "chainId"), "chainId"),
  market: readValue("address", own(data, "market"), "market"),
});

const readVoucher = (data, acknowledgement) => {
  if (data === undefined || data === null) return null;
  if (!isObject(data) || acknowledgement === undefined || acknowledgement === null) {
    throw new Malformed("voucher is an object, beside an acknowledgement.");
  }
  return {
    cumulativeAmount: readValue("uint128", own(data, "cumulativeAmount"), "cumulativeAmount"),
    signature: readValue("bytes", own(data, "signature"), "voucher.signature"),
  };
};

// A document of one receipt; throws Malformed.
export const readDocument = (data) => {
  if (!isObject(data)) throw new Malformed("A document is an object.");
  const kind = Object.hasOwn(data, "tallystick") ? data.tallystick : RECEIPT;
  if (kind === CHANNEL) throw new Malformed("It is the document of a channel: it is audited as a whole.");
  if (kind !== RECEIPT) throw new Malformed("The document is of no kind that is known here.");
  const proof = own(data, "proof") ?? (Object.hasOwn(data, "proof") ? null : []);
  if (!Array.isArray(proof) || proof.length > PROOF_LIMIT) {
    throw new Malformed(`proof is a list of at most ${PROOF_LIMIT} hashes.`);
  }
  const signature = readValue("bytes", own(data, "signature"), "signature");
  const receipt = readMessage("Receipt", own(data, "receipt"));
  const named = Object.hasOwn(data, "chainId") || Object.hasOwn(data, "market");
  const acknowledgement = own(data, "acknowledgement");
  return {
    receipt,
    signature,
    domain: named ? readDomain(data) : null,
    acknowledgement: acknowledgement === undefined || acknowledgement === null
      ? null : readMessage("Acknowledgement", acknowledgement),
    proof: proof.map((hash) => readValue("bytes32", hash, "proof")),
    voucher: readVoucher(own(data, "voucher"), acknowledgement),
  };
};

const optional = (kind, value, where) => (value === null ? null : readValue(kind, value, where));

// What the chain says, as /api/audit/facts gives it; throws Malformed.
export const readFacts = (data) => {
  const channel = own(data, "channel");
  const offers = new Map(), keys = new Set();
  for (const item of data.offers) {
    const offer = readMessage("Offer", item.offer);
    offers.set(structHash("Offer", offer), {
      offer,
      postedAt: readValue("uint64", item.postedAt, "postedAt"),
      withdrawnAt: optional("uint64", item.withdrawnAt, "withdrawnAt"),
    });
  }
  for (const { provider, receiptKey } of data.receiptKeys) {
    keys.add(`${readValue("address", provider, "provider")} ${readValue("address", receiptKey, "receiptKey")}`);
  }
  return {
    domain: readDomain(data),
    channel: channel === null ? null : {
      payer: readValue("address", channel.payer, "payer"),
      provider: readValue("address", channel.provider, "provider"),
      sessionKey: readValue("address", channel.sessionKey, "sessionKey"),
    },
    offers,
    keys,
    settlements: data.settlements.map((item) => ({
      settled: readValue("uint128", item.settled, "settled"),
      acknowledgementHash: optional("bytes32", item.acknowledgementHash, "acknowledgementHash"),
      block: readValue("uint64", item.block, "block"),
      transactionHash: readValue("bytes32", item.transactionHash, "transactionHash"),
      timestamp: readValue("uint64", item.timestamp, "timestamp"),
    })),
  };
};

// ------------------------------------------------------------------------------------------------ the steps

const step = (name, holds, reason, inputs = {}) => ({
  name,
  holds,
  reason,
  inputs: Object.fromEntries(Object.entries(inputs).map(([key, value]) => [key, String(value)])),
});

export const verdict = (steps) => {
  if (steps.some(({ holds }) => holds === false)) return "bad";
  const proven = new Set(steps.filter(({ holds }) => holds).map(({ name }) => name));
  return ["signature", "price", "place", "inclusion", "settlement"].every((name) => proven.has(name)) ? "paid" : "unpaid";
};

// Every step, of whatever somebody pasted.
export const checked = (data, facts) => {
  let document;
  try {
    document = readDocument(data);
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    return [step("format", false, error.message)];
  }
  const head = [format(document), market(document, facts)];
  if (head[1].holds === false) return head;
  return [...head, signature(document, facts), price(document, facts), offer(document, facts), place(document, facts),
    inclusion(document), settlement(document, facts)];
};

const format = ({ receipt, acknowledgement }) => step(
  "format",
  true,
  acknowledgement ? "It is a receipt with proof of its acknowledgement." : "It is a receipt, without proof that it was acknowledged.",
  { kind: RECEIPT, receiptHash: structHash("Receipt", receipt) },
);

const market = ({ domain }, { domain: ours }) => {
  const inputs = { askedChainId: ours.chainId, askedMarket: ours.market };
  if (!domain) return step("market", null, "It does not say of which market it is: it is taken for this one's.", inputs);
  Object.assign(inputs, domain);
  if (domain.chainId === ours.chainId && domain.market === ours.market) return step("market", true, "It is of this market.", inputs);
  return step("market", false, `It is of the market ${domain.market} on chain ${domain.chainId}: what is signed for one ` +
    "market holds on no other.", inputs);
};

const providerOf = (receipt, facts) => facts.channel?.provider ?? facts.offers.get(receipt.offerHash)?.offer.provider ?? null;

const signature = ({ receipt, signature: shown }, facts) => {
  const provider = providerOf(receipt, facts);
  const hashed = digest(facts.domain, structHash("Receipt", receipt));
  const inputs = { digest: hashed };
  const signer = recover(hashed, shown);
  if (signer === null) return step("signature", false, "No key can have made what stands there as its signature.", inputs);
  inputs.signer = signer;
  if (provider === null) {
    return step("signature", null, `It is signed by ${signer}. Neither its channel nor its offer is known here.`, inputs);
  }
  inputs.provider = provider;
  if (signer !== provider && !facts.keys.has(`${provider} ${signer}`)) {
    return step("signature", false, `It is signed by ${signer}, which is no receipt key of ${provider}: it is forged, ` +
      "or was altered since.", inputs);
  }
  return step("signature", true, `It is signed by ${signer}, a receipt key of ${provider}.`, inputs);
};

const price = ({ receipt }, facts) => {
  const posted = facts.offers.get(receipt.offerHash);
  const inputs = { offerHash: receipt.offerHash, cost: receipt.cost };
  if (!posted) return step("price", false, "The offer that it names was never posted on this market.", inputs);
  const { offer: terms } = posted;
  for (const name of ["inputTokens", "cachedInputTokens", "outputTokens"]) inputs[name] = receipt[name];
  for (const name of ["inputPrice", "cachedInputPrice", "outputPrice"]) inputs[name] = terms[name];
  if (terms.provider !== providerOf(receipt, facts)) {
    return step("price", false, `Its channel pays another provider than ${terms.provider}, whose offer it names.`, inputs);
  }
  if (receipt.cachedInputTokens > receipt.inputTokens) {
    return step("price", false, "More input is billed as cached than there was.", inputs);
  }
  const millionths = (receipt.inputTokens - receipt.cachedInputTokens) * terms.inputPrice +
    receipt.cachedInputTokens * terms.cachedInputPrice + receipt.outputTokens * terms.outputPrice;
  const due = (millionths + 999_999n) / 1_000_000n;
  inputs.price = due;
  let reason = `It costs ${receipt.cost} atoms, as its counts do under the offer.`;
  if (receipt.cost > due) {
    reason = `Overcharged: it costs ${receipt.cost} atoms, ${receipt.cost - due} more than its counts cost under the offer.`;
  } else if (receipt.cost < due) {
    reason = `It costs ${receipt.cost} atoms, ${due - receipt.cost} less than its counts cost under the offer.`;
  }
  return step("price", receipt.cost === due, reason, inputs);
};

const offer = ({ receipt }, facts) => {
  const posted = facts.offers.get(receipt.offerHash);
  const received = receipt.receivedAt / 1000n;
  const inputs = { receivedAt: received };
  if (!posted) return step("offer", null, "There is no such offer that could have held.", inputs);
  Object.assign(inputs, { postedAt: posted.postedAt, validUntil: posted.offer.validUntil });
  let end = posted.offer.validUntil, ended = "expired";
  if (posted.withdrawnAt !== null) {
    inputs.withdrawnAt = posted.withdrawnAt;
    if (posted.withdrawnAt < end) [end, ended] = [posted.withdrawnAt, "was withdrawn"];
  }
  if (received >= end + CLOCKS_APART_S) {
    return step("offer", false, `The request came after the offer ${ended}, by the provider's own clock.`, inputs);
  }
  if (received >= end) {
    return step("offer", null, `The request came as the offer ${ended}: the clocks cannot tell which was first.`, inputs);
  }
  if (received < posted.postedAt - CLOCKS_APART_S) {
    return step("offer", null, "By the provider's clock the request came before the offer was posted: the clocks differ.", inputs);
  }
  return step("offer", true, "The request came while the offer held, by the provider's clock.", inputs);
};

const place = ({ receipt, acknowledgement }, facts) => {
  const { channelId, sequence, cost, cumulativeCost } = receipt;
  const inputs = { channelId, sequence, cost, cumulativeCost };
  if (acknowledgement) inputs.receiptCount = acknowledgement.receiptCount;
  const told = (holds, reason) => step("place", holds, reason, inputs);
  if (acknowledgement && sequence >= acknowledgement.receiptCount) {
    return told(false, "Its place is not among the receipts that the acknowledgement speaks of.");
  }
  if (cumulativeCost < cost) return told(false, "The channel comes to less with it than it costs itself.");
  if (sequence === 0n && cumulativeCost !== cost) {
    return told(false, "It is the channel's first, and the channel comes to another amount with it than it costs.");
  }
  if (!facts.channel) return told(null, "The chain has not seen its channel: a grant may be on its way.");
  return told(true, `It has place ${sequence} of its channel, which comes to ${cumulativeCost} atoms with it.`);
};

const inclusion = ({ receipt, acknowledgement, proof }) => {
  const hashed = structHash("Receipt", receipt);
  const inputs = { receiptHash: hashed };
  if (!acknowledgement) return step("inclusion", null, "No acknowledgement is shown with it.", inputs);
  const led = provenRoot(proof, hashed);
  Object.assign(inputs, { proofLength: proof.length, provenRoot: led, receiptsRoot: acknowledgement.receiptsRoot });
  if (led !== acknowledgement.receiptsRoot) {
    return step("inclusion", false, "Its proof does not lead to the acknowledged root: it is not among those receipts, or one of the " +
      "two was altered.", inputs);
  }
  return step("inclusion", true, `It is one of the ${acknowledgement.receiptCount} receipts under the acknowledged root.`, inputs);
};

export const payingOf = (settlements, cumulativeCost) => settlements.find(({ settled }) => settled >= cumulativeCost) ?? null;

const settlement = (document, facts) => {
  const { receipt, acknowledgement, voucher } = document;
  const settled = facts.settlements.reduce((most, item) => (item.settled > most ? item.settled : most), 0n);
  const paying = payingOf(facts.settlements, receipt.cumulativeCost);
  const inputs = { cumulativeCost: receipt.cumulativeCost, settled };
  if (paying) Object.assign(inputs, { paidIn: paying.transactionHash, paidInBlock: paying.block, paidAt: paying.timestamp });
  if (!acknowledgement) {
    return step("settlement", null, "Without an acknowledgement nothing says what a settlement paid for.", inputs);
  }
  const hashed = structHash("Acknowledgement", acknowledgement);
  inputs.acknowledgementHash = hashed;
  const carried = facts.settlements.some((item) => item.acknowledgementHash === hashed);
  if (voucher) inputs.voucherAmount = voucher.cumulativeAmount;
  return step("settlement", ...paid(paying, settled, receipt, carried, vouched(document, facts)), inputs);
};

const paid = (paying, settled, receipt, carried, isVouched) => {
  if (isVouched === false) return [false, "What stands there as its payer's voucher is not the session key's, or pays for less."];
  if (!paying) {
    return [null, `Not paid yet: ${settled} atoms of the channel are settled, and with this receipt it comes ` +
      `to ${receipt.cumulativeCost}.`];
  }
  if (carried || isVouched) {
    const how = paying.acknowledgementHash === null ? "closed, by both sides, at" : "settled to";
    return [true, `Paid in block ${paying.block}, where the channel was ${how} ${paying.settled} atoms.`];
  }
  if (paying.acknowledgementHash === null) {
    return [null, `The channel was closed at ${paying.settled} atoms in block ${paying.block}. A close says not for ` +
      "which receipts: the payer's voucher, which does, is not shown."];
  }
  return [false, `The channel was settled to ${settled} atoms, and never by this acknowledgement: what was paid is ` +
    "another root's."];
};

const vouched = ({ receipt, acknowledgement, voucher }, facts) => {
  if (!voucher || !acknowledgement || !facts.channel) return null;
  const { cumulativeAmount } = voucher;
  const hashed = structHash("Voucher", { channelId: receipt.channelId, cumulativeAmount, acknowledgement });
  const signer = recover(digest(facts.domain, hashed), voucher.signature);
  return signer === facts.channel.sessionKey && cumulativeAmount >= receipt.cumulativeCost;
};
