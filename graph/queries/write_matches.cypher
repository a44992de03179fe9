// Merge cross-matches of objects with catalogue sources, as columns; see graph.alert_store.MatchRows.
// Result: none. An edge holds the match of the object's newest position that has one. An entry gets the type and the
// redshift that its catalogue states by now, so that a spectrum that came later is known.
// Indexes: unique keys of Object and CatalogSource.
UNWIND range(0, size($object_key) - 1) AS i
MATCH (o:Object {object_key: $object_key[i]})
MERGE (s:CatalogSource {source_key: $source_key[i]})
  ON CREATE SET
    s.catalog = $catalog[i],
    s.name = $name[i],
    s.ra_deg = $source_ra_deg[i],
    s.dec_deg = $source_dec_deg[i],
    s.object_type = $object_type[i],
    s.redshift = $redshift[i],
    s.distance_mpc = $distance_mpc[i]
FOREACH (_ IN CASE WHEN $object_type[i] IS NULL OR s.object_type = $object_type[i] THEN [] ELSE [1] END |
  SET
    s.object_type = $object_type[i],
    s.redshift = coalesce($redshift[i], s.redshift)
)
MERGE (o)-[m:MATCHES]->(s)
FOREACH (_ IN CASE WHEN m.midpoint_mjd_tai > $midpoint_mjd_tai[i] THEN [] ELSE [1] END |
  SET
    m.separation_arcsec = $separation_arcsec[i],
    m.probability = $probability[i],
    m.log_bayes_factor = $log_bayes_factor[i],
    m.p_chance = $p_chance[i],
    m.midpoint_mjd_tai = $midpoint_mjd_tai[i]
)
