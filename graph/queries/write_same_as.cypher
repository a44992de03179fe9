// Set which objects of two surveys are one, from ZTF's object to LSST's. Parameters: ztf_key, lsst_key,
// separation_arcsec, probability (columns of equal length). A link that no longer holds comes with probability 0 and is
// taken away. Result: none. Index: unique key of Object.
UNWIND range(0, size($ztf_key) - 1) AS i
MATCH (a:Object {object_key: $ztf_key[i]}), (b:Object {object_key: $lsst_key[i]})
CALL (a, b, i) {
  WITH a, b, i WHERE $probability[i] > 0.0
  MERGE (a)-[s:SAME_AS]->(b)
  SET s.separation_arcsec = $separation_arcsec[i], s.probability = $probability[i]
}
CALL (a, b, i) {
  WITH a, b, i WHERE $probability[i] = 0.0
  MATCH (a)-[s:SAME_AS]->(b)
  DELETE s
}
