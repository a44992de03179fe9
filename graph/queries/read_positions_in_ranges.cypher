// Positions of objects inside HEALPix ranges, with what each is linked to in the other survey. Parameter: ranges (list
// of [first, last] order-29 pixels, both included). Result: survey, object_key, healpix29, ra_deg, dec_deg, same_as
// (object_key of the other ends). Index: object_healpix29.
UNWIND $ranges AS pixels
MATCH (o:Object)
WHERE o.healpix29 >= pixels[0] AND o.healpix29 <= pixels[1]
RETURN o.survey AS survey, o.object_key AS object_key, o.healpix29 AS healpix29, o.ra_deg AS ra_deg, o.dec_deg AS dec_deg,
  [(o)-[:SAME_AS]->(other) | other.object_key] AS same_as
